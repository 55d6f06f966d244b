// Package check judges an image before it is pushed: it reads the bytes of
// the layers as they lie in the content store and says what would not run on
// a linux/riscv64 machine, or should not leave the house (Image), and it runs
// the recipe's tests on the image (RunTests).
//
// It is in three steps that can be used apart. ScanLayer turns the bytes of
// one layer into facts and knows no other layer, so its result can be kept
// for ever under the layer's digest. NewTree lays the facts of all layers over
// each other as a container runtime does. Judge looks at the tree with the
// rules of a recipe.
//
// It neither builds nor changes nor sends an image, and it runs programs only
// through the engine it is handed.
package check
