package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/riscv-build/riscv-build/builder/service"
)

// stateTimeout bounds the question for the service's state when metrics are read.
const stateTimeout = 5 * time.Second

// Metrics count what the service does, for Prometheus.
type Metrics struct {
	registry *prometheus.Registry
	handler  http.Handler
	requests *prometheus.CounterVec
	latency  *prometheus.HistogramVec
	builds   *prometheus.HistogramVec
}

// NewMetrics makes metrics for one API, in a registry of their own.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "riscv_build_http_requests_total", Help: "Requests of the API by operation and status code.",
		}, []string{"operation", "code"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "riscv_build_http_request_seconds", Help: "Time to answer a request, streams left out.",
			Buckets: []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 5, 30},
		}, []string{"operation"}),
		builds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "riscv_build_build_seconds", Help: "Time from the start of a build to its end.",
			Buckets: []float64{1, 5, 15, 60, 180, 600, 1800, 3600, 7200, 21600},
		}, []string{"status"}),
	}
	m.registry.MustRegister(m.requests, m.latency, m.builds,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.handler = promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, ErrorHandling: promhttp.ContinueOnError})
	return m
}

// Ended counts a build that has ended. The queue says so; builds that never
// began are left out.
func (m *Metrics) Ended(b service.Build) {
	if b.Started != nil && b.Ended != nil {
		m.builds.WithLabelValues(string(b.Status)).Observe(b.Ended.Sub(*b.Started).Seconds())
	}
}

// watch adds what is asked for when metrics are read.
func (m *Metrics) watch(s service.Service, followers func() float64) {
	m.registry.MustRegister(&stateCollector{service: s}, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "riscv_build_followers", Help: "Open streams of events and logs.",
	}, followers))
}

func (m *Metrics) request(w *answer, took time.Duration) {
	status := w.status
	if status == 0 {
		status = 499 // the client was gone first
	}
	m.requests.WithLabelValues(w.operation, strconv.Itoa(status)).Inc()
	if !w.stream {
		m.latency.WithLabelValues(w.operation).Observe(took.Seconds())
	}
}

var (
	buildsDesc = prometheus.NewDesc("riscv_build_builds", "Builds in the store by status.", []string{"status"}, nil)
	queueDesc  = prometheus.NewDesc("riscv_build_queue_length", "Builds that wait.", nil, nil)
	freeDesc   = prometheus.NewDesc("riscv_build_free_bytes", "Free space in the state directory.", nil, nil)
	floorDesc  = prometheus.NewDesc("riscv_build_floor_bytes", "Free space below which a build is ended.", nil, nil)
	upDesc     = prometheus.NewDesc("riscv_build_up", "Whether the service can tell its state.", nil, nil)
)

// stateCollector tells the service's state.
type stateCollector struct{ service service.Service }

var _ prometheus.Collector = (*stateCollector)(nil)

func (c *stateCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{buildsDesc, queueDesc, freeDesc, floorDesc, upDesc} {
		to <- d
	}
}

func (c *stateCollector) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), stateTimeout)
	defer cancel()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	s, err := c.service.State(ctx)
	if err != nil {
		gauge(upDesc, 0)
		return
	}
	gauge(upDesc, 1)
	for _, status := range service.Statuses {
		gauge(buildsDesc, float64(s.Builds[status]), string(status))
	}
	gauge(queueDesc, float64(s.Builds[service.Queued]))
	gauge(freeDesc, float64(s.FreeBytes))
	gauge(floorDesc, float64(s.FloorBytes))
}
