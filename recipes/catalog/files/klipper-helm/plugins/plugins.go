//go:build ignore

// Two plugins of helm in the program that they extend: it holds all that they
// need, and is there once instead of three times. It is one of them when it is
// started under its name. The recipe compiles this file as a part of helm.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	mapapis "github.com/helm/helm-mapkubeapis/pkg/common"
	mapv3 "github.com/helm/helm-mapkubeapis/pkg/v3"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/release"
	helmtime "helm.sh/helm/v3/pkg/time"
)

func init() {
	var plugin *cobra.Command
	switch filepath.Base(os.Args[0]) {
	case "helm-set-status":
		plugin = newSetStatusPlugin()
	case "mapkubeapis":
		plugin = newMapPlugin()
	default:
		return
	}
	plugin.SilenceUsage = true
	settings.AddFlags(plugin.PersistentFlags())
	if err := plugin.Execute(); err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

// statuses are what helm records of a release.
var statuses = []release.Status{
	release.StatusUnknown, release.StatusDeployed, release.StatusUninstalled, release.StatusSuperseded, release.StatusFailed,
	release.StatusUninstalling, release.StatusPendingInstall, release.StatusPendingUpgrade, release.StatusPendingRollback,
}

func newSetStatusPlugin() *cobra.Command {
	return &cobra.Command{
		Use:   "set-status RELEASE STATUS",
		Short: "record a status of a release whose last command was interrupted",
		Args:  cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			return setStatus(args[0], release.Status(strings.ToLower(args[1])))
		},
	}
}

// setStatus changes what helm has recorded of the last revision of a release.
func setStatus(name string, status release.Status) error {
	if !slices.Contains(statuses, status) {
		return fmt.Errorf("setting the status of release %q to %q: there is no such status: name one of %v", name, status, statuses)
	}
	var config action.Configuration
	if err := config.Init(settings.RESTClientGetter(), settings.Namespace(), os.Getenv("HELM_DRIVER"), debug); err != nil {
		return fmt.Errorf("setting the status of release %q: %w", name, err)
	}
	last, err := config.Releases.Last(name)
	if err != nil {
		return fmt.Errorf("looking for release %q in namespace %q: %w", name, settings.Namespace(), err)
	}
	last.SetStatus(status, "set by helm set-status")
	last.Info.LastDeployed = helmtime.Now()
	if err := config.Releases.Update(last); err != nil {
		return fmt.Errorf("recording status %q of release %q: %w", status, name, err)
	}
	fmt.Printf("release %q has status %q now\n", name, status)
	return nil
}

func newMapPlugin() *cobra.Command {
	var options mapapis.MapOptions
	plugin := &cobra.Command{
		Use:   "mapkubeapis RELEASE",
		Short: "replace APIs in a recorded release that Kubernetes has no longer",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			options.ReleaseName, options.ReleaseNamespace = args[0], settings.Namespace()
			options.KubeConfig = mapapis.KubeConfig{Context: settings.KubeContext, File: settings.KubeConfig}
			return mapv3.MapReleaseWithUnSupportedAPIs(options)
		},
	}
	plugin.Flags().BoolVar(&options.DryRun, "dry-run", false, "say what would be done")
	plugin.Flags().StringVar(&options.MapFile, "mapfile", filepath.Join(os.Getenv("HELM_PLUGIN_DIR"), "config", "Map.yaml"), "which API replaces which")
	return plugin
}
