package main

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// An identity is a user to become.
type identity struct {
	name, home string
	uid, gid   int
}

// lookUp finds the user of -Z, by name or number.
func lookUp(name string) (*identity, error) {
	u, err := user.Lookup(name)
	if err != nil {
		if u, err = user.LookupId(name); err != nil {
			return nil, fmt.Errorf("-Z %s: there is no such user", name)
		}
	}
	uid, errUID := strconv.Atoi(u.Uid)
	gid, errGID := strconv.Atoi(u.Gid)
	switch {
	case errUID != nil || errGID != nil:
		return nil, fmt.Errorf("-Z %s: the user's numbers are %s and %s", name, u.Uid, u.Gid)
	case uid == 0 || gid == 0:
		return nil, fmt.Errorf("-Z %s: that is root, which -Z is to drop: name another user", name)
	case os.Geteuid() != 0:
		return nil, fmt.Errorf("-Z %s: only root can become another user: leave out -Z, CAP_NET_RAW alone is enough", name)
	}
	return &identity{u.Username, u.HomeDir, uid, gid}, nil
}

// drop becomes the user, for good, in all threads: Go's calls do that, and the kernel takes all capabilities away with it
// (capabilities(7), "Effect of user ID changes"). It looks whether that is so, and whether there is a way back.
func (id *identity) drop() error {
	// HOME and the like are where passwords for databases are looked for.
	for key, value := range map[string]string{"HOME": id.home, "USER": id.name, "LOGNAME": id.name} {
		if err := os.Setenv(key, value); err != nil {
			return fmt.Errorf("-Z %s: %w", id.name, err)
		}
	}
	if err := syscall.Setgroups([]int{id.gid}); err != nil {
		return fmt.Errorf("-Z %s: set groups: %w", id.name, err)
	}
	if err := syscall.Setgid(id.gid); err != nil {
		return fmt.Errorf("-Z %s: set group: %w", id.name, err)
	}
	if err := syscall.Setuid(id.uid); err != nil {
		return fmt.Errorf("-Z %s: set user: %w", id.name, err)
	}
	if err := id.verify("/proc/self/task"); err != nil {
		return fmt.Errorf("-Z %s: root was not dropped: %w", id.name, err)
	}
	return nil
}

// verify returns an error if something of root is left. tasks is the folder where Linux describes the process's threads.
func (id *identity) verify(tasks string) error {
	groups, err := os.Getgroups()
	switch {
	case err != nil:
		return err
	case os.Getuid() != id.uid || os.Geteuid() != id.uid || os.Getgid() != id.gid || os.Getegid() != id.gid:
		return fmt.Errorf("user and group are %d and %d", os.Geteuid(), os.Getegid())
	case len(groups) > 1 || len(groups) == 1 && groups[0] != id.gid:
		return fmt.Errorf("groups are %v", groups)
	case syscall.Setuid(0) == nil || syscall.Setreuid(-1, 0) == nil:
		return errors.New("the user could be set back")
	case syscall.Setgid(0) == nil || syscall.Setregid(-1, 0) == nil:
		return errors.New("the group could be set back")
	}
	threads, err := filepath.Glob(filepath.Join(tasks, "*", "status"))
	if err != nil {
		return err
	}
	for _, path := range threads { // none where it isn't Linux
		b, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // the thread has ended
		}
		if err != nil {
			return err
		}
		if err := id.verifyThread(string(b)); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

// verifyThread looks at a thread's /proc/.../status: see proc(5).
func (id *identity) verifyThread(status string) error {
	for line := range strings.Lines(status) {
		key, value, _ := strings.Cut(line, ":")
		want := ""
		switch key {
		case "Uid":
			want = strings.Repeat(fmt.Sprint(id.uid)+" ", 4) // real, effective, saved, of file systems
		case "Gid":
			want = strings.Repeat(fmt.Sprint(id.gid)+" ", 4)
		case "CapPrm", "CapEff", "CapAmb":
			want = strings.Repeat("0", 16)
		default:
			continue
		}
		if got := strings.Join(strings.Fields(value), " "); got != strings.TrimSpace(want) {
			return fmt.Errorf("%s is %s", key, got)
		}
	}
	return nil
}
