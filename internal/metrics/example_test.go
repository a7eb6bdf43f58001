package metrics_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"btcsniff/internal/metrics"
)

func Example() {
	at := time.Date(2025, 10, 6, 12, 0, 0, 0, time.UTC)
	h := metrics.Handler(metrics.Config{Version: "v1", State: func(context.Context) metrics.State {
		return metrics.State{Now: at, Opened: at, Interfaces: []metrics.Interface{{Name: "eth0", Down: true}}}
	}})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/healthz", nil))
	fmt.Print(w.Code, " ", w.Body)
	// Output: 503 eth0 is down
}
