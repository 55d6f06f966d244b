// Package batch builds many recipes in one run: in the order that they stand
// on one another, several at a time, skipping what is there already, going on
// where an interrupted run ended, and reporting what became of each.
//
// How one recipe is built is the builder's affair; which recipes there are,
// what flags say and how a result is printed are those of the verbs.
package batch
