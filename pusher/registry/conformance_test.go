package registry

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestConformance runs the specification's own suite, for the version that is
// out and for the next.
func TestConformance(t *testing.T) {
	for _, version := range []string{"1.1", "dev"} {
		t.Run(version, func(t *testing.T) {
			s := start(t, ServeOptions{})
			cmd := exec.Command("go", "tool", "conformance")
			for _, v := range os.Environ() {
				if !strings.HasPrefix(v, "OCI_") {
					cmd.Env = append(cmd.Env, v)
				}
			}
			cmd.Env = append(cmd.Env, "OCI_REGISTRY="+s.Address().String(), "OCI_TLS=disabled", "OCI_VERSION="+version,
				"OCI_RESULTS_DIR="+filepath.Join(t.TempDir(), "results"), "OCI_API_BLOBS_DIGEST_HEADER=true",
				"OCI_API_MANIFESTS_DIGEST_HEADER=true", "OCI_API_BLOBS_UPLOAD_CANCEL=true")
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "Blob push") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
