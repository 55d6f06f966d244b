package outdated

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Bounds of a page.
const (
	maxPage      = 8 << 20
	pageTime     = 30 * time.Second
	maxRedirects = 5
)

// WebPages reads pages over HTTP, each once.
type WebPages struct {
	Client    *http.Client // nil: one that goes no other way than the proxies of the environment
	UserAgent string

	read map[string]pageAnswer
}

type pageAnswer struct {
	text []byte
	err  error
}

var _ Pages = (*WebPages)(nil)

// Page implements Pages.
func (w *WebPages) Page(ctx context.Context, url string) ([]byte, error) {
	answer, ok := w.read[url]
	if !ok {
		answer.text, answer.err = w.get(ctx, url)
		if answer.err != nil {
			answer.err = fmt.Errorf("asking %q for releases: %w: try again, or correct latest of the source", url, answer.err)
		}
		if w.read == nil {
			w.read = map[string]pageAnswer{}
		}
		w.read[url] = answer
	}
	return answer.text, answer.err
}

func (w *WebPages) get(ctx context.Context, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, pageTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", w.UserAgent)
	client := http.Client{}
	if w.Client != nil {
		client = *w.Client
	}
	client.CheckRedirect = checkRedirect
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server answers %s", resp.Status)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxPage+1))
	if err == nil && len(text) > maxPage {
		err = fmt.Errorf("the page is larger than %d MB", maxPage>>20)
	}
	return text, err
}

// checkRedirect follows a few redirects, and none from https to http.
func checkRedirect(req *http.Request, via []*http.Request) error {
	switch {
	case len(via) > maxRedirects:
		return fmt.Errorf("it redirects more than %d times", maxRedirects)
	case via[len(via)-1].URL.Scheme == "https" && req.URL.Scheme != "https":
		return errors.New("it redirects from https to http")
	}
	return nil
}
