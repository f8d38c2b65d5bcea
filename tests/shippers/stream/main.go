// The two ends of a log shipper in a test: a writer that writes and rotates a log as the API server does, and receivers
// that keep the events that arrive, one in each line.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"gopkg.in/natefinch/lumberjack.v2"
)

const usage = `usage: stream write LOG true|false FIRST COUNT MICROSECONDS
       stream receive syslog|otlp ADDRESS FILE`

func main() {
	log.SetFlags(0)
	arguments := os.Args[1:]
	switch {
	case len(arguments) == 6 && arguments[0] == "write":
		write(arguments[1], arguments[2] == "true", number(arguments[3]), number(arguments[4]), number(arguments[5]))
	case len(arguments) == 4 && arguments[0] == "receive":
		file, err := os.OpenFile(arguments[3], os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		check(err)
		kept := &kept{file: file}
		switch arguments[1] {
		case "syslog":
			receiveSyslog(arguments[2], kept)
		case "otlp":
			receiveOTLP(arguments[2], kept)
		default:
			log.Fatal(usage)
		}
	default:
		log.Fatal(usage)
	}
}

// write logs events with the numbers FIRST, FIRST+1, ..., with a pause after each. Most events have the length of an
// event at the level Metadata. Some have the length of the longest event that the API server does not truncate, or of
// an event that the API server writes without truncation.
func write(path string, compress bool, first, count, pause int) {
	logger := &lumberjack.Logger{Filename: path, MaxAge: 30, MaxBackups: 100, MaxSize: 2, Compress: compress}
	for n := first; n < first+count; n++ {
		length := 200 + n*7919%2000
		switch {
		case n%1000 == 999:
			length = 1_500_000
		case n%100 == 99:
			length = 102_400
		}
		_, err := fmt.Fprintf(logger, `{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"%08d","text":"\"\\ \t%%d ü\u2028 %s"}`+"\n", n, strings.Repeat("x", length))
		check(err)
		time.Sleep(time.Duration(pause) * time.Microsecond)
	}
	// Compression continues in the background. Wait for it, because the end of the program would interrupt it.
	stem := strings.TrimSuffix(path, filepath.Ext(path))
	for compress {
		left, err := filepath.Glob(stem + "-*" + filepath.Ext(path))
		check(err)
		if len(left) == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	check(logger.Close())
}

// kept is a file of events.
type kept struct {
	sync.Mutex
	file *os.File
}

func (k *kept) add(events ...string) {
	k.Lock()
	defer k.Unlock()
	_, err := k.file.WriteString(strings.Join(events, "\n") + "\n")
	check(err)
}

// receiveSyslog receives messages of RFC 5424, one in each line, and keeps the text after their header. The header has
// PRI and version, time, host, program, process, message id, and structured data, which is empty.
func receiveSyslog(address string, kept *kept) {
	listener, err := net.Listen("tcp", address)
	check(err)
	for {
		connection, err := listener.Accept()
		check(err)
		go func() {
			defer connection.Close()
			for reader := bufio.NewReaderSize(connection, 1<<20); ; {
				line, err := reader.ReadString('\n')
				if err == io.EOF {
					return
				}
				check(err)
				parts := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 8)
				if len(parts) < 8 || parts[3] != "kube-audit" {
					log.Fatalf("not an audit event: %.200q", line)
				}
				kept.add(parts[7])
			}
		}()
	}
}

// export is the part of an ExportLogsServiceRequest that the test needs.
type export struct {
	ResourceLogs []struct {
		ScopeLogs []struct {
			LogRecords []struct {
				Body struct {
					StringValue string `json:"stringValue"`
				} `json:"body"`
			} `json:"logRecords"`
		} `json:"scopeLogs"`
	} `json:"resourceLogs"`
}

// receiveOTLP receives OTLP over HTTP in its JSON encoding.
func receiveOTLP(address string, kept *kept) {
	http.HandleFunc("/v1/logs", func(answer http.ResponseWriter, request *http.Request) {
		var export export
		if err := json.NewDecoder(request.Body).Decode(&export); err != nil {
			http.Error(answer, err.Error(), http.StatusBadRequest)
			log.Print(err)
			return
		}
		for _, resource := range export.ResourceLogs {
			for _, scope := range resource.ScopeLogs {
				for _, record := range scope.LogRecords {
					kept.add(record.Body.StringValue)
				}
			}
		}
		answer.Header().Set("Content-Type", "application/json")
		io.WriteString(answer, "{}")
	})
	check(http.ListenAndServe(address, nil))
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	check(err)
	return n
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
