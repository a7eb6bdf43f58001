// Package chaos breaks what the commands depend on while they run, and looks whether what they promise still holds: a Postgres
// server that tests kill, a proxy in front of it that cuts connections at chosen bytes, traffic whose every record is known. Which
// promises these are it leaves to its tests.
package chaos

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// A Server is a Postgres server of a test's own, reached through a Unix socket in its folder and in no other way. It runs as
// nobody where the test runs as root.
type Server struct {
	Dir string // of the socket

	bin  string
	cred *syscall.Credential
	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
}

const (
	nobody   = 65534            // the user's number on Debian
	patience = 30 * time.Second // how long something may take on a busy machine before it counts as hanging
)

// NewServer makes a server and starts it. It is stopped and removed with the test.
func NewServer(t testing.TB) *Server {
	t.Helper()
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // the pattern is a good one
	if len(bins) == 0 {
		t.Skip("needs a Postgres server's programs (Debian: postgresql)")
	}
	users, err := os.ReadFile("/proc/self/uid_map")
	if err != nil || strings.Join(strings.Fields(string(users)), " ") != "0 0 4294967295" && os.Geteuid() == 0 {
		t.Skip("needs root: as the root of a namespace only, the server's programs refuse to run")
	}
	dir, err := os.MkdirTemp("", "chaos") // a short path: a Unix socket's name has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &Server{Dir: dir, bin: bins[len(bins)-1]}
	if os.Geteuid() == 0 {
		s.cred = &syscall.Credential{Uid: nobody, Gid: nobody}
		if err := os.Chown(dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := s.command("initdb", "-D", dir+"/data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync", "--no-instructions").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v: %s", err, out)
	}
	t.Cleanup(func() { s.Kill(t) })
	s.Start(t)
	s.Wait(t)
	return s
}

func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = s.Dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred, Pdeathsig: syscall.SIGKILL}
	return cmd
}

// Start starts the server, and doesn't wait until it can be reached. If it runs already it does nothing.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running() {
		return
	}
	log, err := os.OpenFile(filepath.Join(s.Dir, "log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := s.command("postgres", "-D", s.Dir+"/data", "-c", "listen_addresses=", "-c", "unix_socket_directories="+s.Dir, "-c", "fsync=off",
		"-c", "shared_buffers=32MB", "-c", "max_connections=40", "-c", "autovacuum=off")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.cmd, s.done = cmd, make(chan struct{})
	go func(done chan struct{}) {
		defer close(done)
		_ = cmd.Wait() // it is killed, mostly
	}(s.done)
}

// running says whether the server runs; s.mu is locked.
func (s *Server) running() bool {
	if s.done == nil {
		return false
	}
	select {
	case <-s.done:
		return false
	default:
		return true
	}
}

// Wait waits until the server can be reached, and starts it again if it ends.
func (s *Server) Wait(t testing.TB) {
	t.Helper()
	_ = s.connect(t).Close(context.Background()) // it was reached
}

func (s *Server) connect(t testing.TB) *pgx.Conn {
	t.Helper()
	for timeout := time.After(patience); ; {
		s.Start(t)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		db, err := pgx.Connect(ctx, s.URL())
		cancel()
		if err == nil {
			return db
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-timeout:
			log, _ := os.ReadFile(filepath.Join(s.Dir, "log")) // the first error counts
			t.Fatalf("the server can't be reached: %v\n%s", err, log)
		}
	}
}

// URL names the server's database for libpq.
func (s *Server) URL() string { return "postgres://postgres@/postgres?sslmode=disable&host=" + s.Dir }

// Connect waits as Wait does, and returns a connection that is closed with the test.
func (s *Server) Connect(t testing.TB) *pgx.Conn {
	t.Helper()
	db := s.connect(t)
	t.Cleanup(func() { _ = db.Close(context.Background()) }) // the server may be gone
	return db
}

// Stop ends the server with a signal (SIGTERM: waits for clients, SIGINT: doesn't, SIGQUIT: as a crash) and waits for its end.
func (s *Server) Stop(t testing.TB, sig syscall.Signal) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.running() {
		return
	}
	_ = s.cmd.Process.Signal(sig) // it may have ended
	select {
	case <-s.done:
	case <-time.After(patience):
		t.Fatalf("the server doesn't stop after %v", sig)
	}
}

// Kill kills the server and all its processes, as a machine does that crashes, and waits for their end.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.running() {
		return
	}
	for _, pid := range append(s.children(), s.cmd.Process.Pid) {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
	}
	<-s.done
}

// KillOne kills one process of the server, which then ends all others and recovers.
func (s *Server) KillOne(r *rand.Rand) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if all := s.children(); len(all) > 0 {
		_ = syscall.Kill(all[r.IntN(len(all))], syscall.SIGKILL) // it may have ended
	}
}

// children are the server's processes but the first.
func (s *Server) children() (pids []int) {
	if !s.running() {
		return nil
	}
	parent := fmt.Sprint(s.cmd.Process.Pid)
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is a good one
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		// The name may hold spaces and brackets. Behind it: state, parent.
		fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
		if len(fields) > 1 && string(fields[1]) == parent {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
