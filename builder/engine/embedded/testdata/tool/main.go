// Command tool is the one program in the images of the engine's tests.
package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

func main() {
	args := append(os.Args[1:], "", "")
	switch args[0] {
	case "true":
	case "exit":
		n, err := strconv.Atoi(args[1])
		check(err)
		os.Exit(n)
	case "kill":
		// A child, because the first process of a container cannot kill itself.
		check(syscall.Kill(os.Getpid(), syscall.SIGKILL))
		time.Sleep(time.Second)
	case "print":
		fmt.Println(args[1])
		fmt.Fprintln(os.Stderr, args[2])
	case "flood":
		n, err := strconv.Atoi(args[1])
		check(err)
		w := bufio.NewWriter(os.Stdout)
		for i := range n {
			fmt.Fprintf(w, "line %d\n", i)
		}
		check(w.Flush())
		os.Exit(3)
	case "cat":
		_, err := io.Copy(os.Stdout, os.Stdin)
		check(err)
	case "copy":
		data, err := os.ReadFile(args[1])
		check(err)
		check(os.WriteFile(args[2], data, 0o644))
	case "write":
		check(os.WriteFile(args[1], []byte(args[2]), 0o644))
	case "fill":
		f, err := os.Create(args[1])
		check(err)
		for buf := make([]byte, 1<<20); err == nil; {
			_, err = f.Write(buf)
		}
		check(err)
	case "append":
		f, err := os.OpenFile(args[1], os.O_WRONLY|os.O_APPEND, 0)
		check(err)
		fmt.Fprintln(f, args[2])
	case "whoami":
		cwd, err := os.Getwd()
		check(err)
		fmt.Println(os.Getuid(), os.Getgid(), cwd, os.Getenv("TEST_VARIABLE"))
	case "interfaces":
		list, err := net.Interfaces()
		check(err)
		for _, i := range list {
			fmt.Println(i.Name)
		}
	case "sleep":
		time.Sleep(time.Minute)
	case "grow":
		var all [][]byte
		for range 1 << 10 { // a machine without a bound is spared
			more := make([]byte, 1<<20)
			for i := range more {
				more[i] = 1
			}
			all = append(all, more)
		}
		fmt.Println(len(all), "MB")
	case "child":
		child := exec.Command(os.Args[0], args[1])
		child.Stdout, child.Stderr = os.Stdout, os.Stderr
		check(child.Run())
	case "fork":
		for range 1000 {
			check(exec.Command(os.Args[0], "sleep").Start())
		}
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("ready")
		time.Sleep(time.Minute)
	case "serve":
		serve(args[1], args[2])
	case "connect":
		connect(args[1])
	default:
		fmt.Fprintln(os.Stderr, "unknown:", args[0])
		os.Exit(99)
	}
}

// serve answers every request line with the line, after a delay before it listens at all.
func serve(address, delay string) {
	wait, err := time.ParseDuration(delay)
	check(err)
	time.Sleep(wait)
	l, err := net.Listen("tcp", address)
	check(err)
	for {
		c, err := l.Accept()
		check(err)
		line, err := bufio.NewReader(c).ReadString('\n')
		check(err)
		fmt.Fprintf(c, "you said %s", line)
		check(c.Close())
	}
}

// connect is what busybox's nc does: standard input to the server, its answer to standard output.
func connect(address string) {
	c, err := net.Dial("tcp", address)
	check(err)
	go func() { _, _ = io.Copy(c, os.Stdin) }()
	_, err = io.Copy(os.Stdout, c)
	check(err)
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
