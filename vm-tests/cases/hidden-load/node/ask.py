"""ask.py WORKERS WATCHES: until a signal ends it, each worker sends a request with a number every second, and each
watcher watches with a number, again and again. Prints the numbers of those that were answered, each as a line."""

import http.client
import itertools
import os
import ssl
import sys
import threading
import time

WORK = os.environ["WORK"]
TLS = ssl._create_unverified_context()
TLS.load_cert_chain(f"{WORK}/client-certificate", f"{WORK}/client-key")
CONFIGMAPS = "/api/v1/namespaces/default/configmaps"


def answered(number):
    # One write for each line: lines of several threads are not mixed, and a signal loses none that is written.
    os.write(1, f"{number}\n".encode())


def connect():
    return http.client.HTTPSConnection("localhost", 6443, timeout=60, context=TLS)


def work(worker):
    """Sends numbers on one connection, and opens another one only after an error, as clients do."""
    connection = connect()
    for n in itertools.count():
        next_at = time.monotonic() + 1
        number = f"{worker}-{n}"
        try:
            connection.request("GET", f"{CONFIGMAPS}?number={number}")
            response = connection.getresponse()
            response.read()
            if response.status == 200:
                answered(number)
        except (OSError, http.client.HTTPException):
            connection.close()
            connection = connect()
        time.sleep(max(0, next_at - time.monotonic()))


def watch(watcher):
    """Watches until the API server ends the watch. Its answer has begun when its status is read."""
    for n in itertools.count():
        connection = connect()
        try:
            connection.request("GET", f"{CONFIGMAPS}?watch=true&timeoutSeconds=50&watched={watcher}-{n}")
            response = connection.getresponse()
            if response.status == 200:
                answered(f"watch-{watcher}-{n}")
            response.read()
        except (OSError, http.client.HTTPException):
            pass
        connection.close()
        time.sleep(0.5)


workers, watches = map(int, sys.argv[1:])
threads = [(work, n) for n in range(workers)] + [(watch, n) for n in range(watches)]
for target, n in threads:
    threading.Thread(target=target, args=(n,), daemon=True).start()
threading.Event().wait()
