package registry

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics counts requests, for Prometheus.
type metrics struct {
	handler  http.Handler
	requests *prometheus.CounterVec   // by method and status
	seconds  *prometheus.HistogramVec // by method
	bytes    *prometheus.CounterVec   // by direction
	active   prometheus.Gauge
}

func newMetrics() *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "riscv_build_registry_requests_total", Help: "Requests that were answered.",
		}, []string{"method", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "riscv_build_registry_request_seconds", Help: "How long requests took.",
			Buckets: []float64{0.005, 0.025, 0.1, 0.5, 2.5, 10, 60, 300},
		}, []string{"method"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "riscv_build_registry_bytes_total", Help: "Bytes of bodies, received (in) and sent (out).",
		}, []string{"direction"}),
		active: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "riscv_build_registry_active_requests", Help: "Requests that are being answered.",
		}),
	}
	all := prometheus.NewRegistry()
	all.MustRegister(m.requests, m.seconds, m.bytes, m.active, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.handler = promhttp.HandlerFor(all, promhttp.HandlerOpts{})
	return m
}

func (m *metrics) count(method string, c *connection, took time.Duration) {
	if !knownMethods[method] {
		method = "other" // a label must not grow by what strangers send
	}
	m.requests.WithLabelValues(method, strconv.Itoa(c.status)).Inc()
	m.seconds.WithLabelValues(method).Observe(took.Seconds())
	m.bytes.WithLabelValues("in").Add(float64(c.in))
	m.bytes.WithLabelValues("out").Add(float64(c.out))
}

var knownMethods = map[string]bool{"GET": true, "HEAD": true, "POST": true, "PUT": true, "PATCH": true, "DELETE": true}
