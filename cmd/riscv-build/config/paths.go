package config

import (
	"errors"
	"path/filepath"
)

const program = "riscv-build"

// Place is what decides where files are: the environment and the user.
type Place struct {
	Getenv func(string) string
	EUID   int
}

// Files are the configuration files, the weaker first. A file that a user
// without a home cannot have is left out.
func (p Place) Files() []string {
	files := []string{filepath.Join("/etc", program, "config.toml")}
	if dir := p.dir("XDG_CONFIG_HOME", ".config"); dir != "" {
		files = append(files, filepath.Join(dir, program, "config.toml"))
	}
	return files
}

// StateDir is where blobs, caches and build roots are: the flag, else the
// environment, else the configuration, else /var/lib/riscv-build for root and
// $XDG_STATE_HOME/riscv-build for others.
func (p Place) StateDir(flag string, c *Config) (string, error) {
	for _, dir := range []string{flag, p.Getenv(EnvStateDir), c.StateDir} {
		if dir != "" {
			return filepath.Abs(dir)
		}
	}
	if p.EUID == 0 {
		return filepath.Join("/var/lib", program), nil
	}
	if dir := p.dir("XDG_STATE_HOME", ".local/state"); dir != "" {
		return filepath.Join(dir, program), nil
	}
	return "", errors.New("choosing a state directory: this user has no home directory: name one with --state-dir")
}

// dir is a base directory of the XDG specification, whose relative paths are
// to be ignored.
func (p Place) dir(variable, fallback string) string {
	if dir := p.Getenv(variable); filepath.IsAbs(dir) {
		return dir
	}
	if home := p.Getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, fallback)
	}
	return ""
}
