# The directory of the webhook's files.
D=/etc/kubernetes/collector

# certify PATH: makes PATH.key and PATH.crt.
certify() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=collector \
        -addext subjectAltName=IP:127.0.0.1 -keyout "$1.key" -out "$1.crt"
}

# The files that the API server finds at the paths of the certificate and of its key.
seen() { stat -c %d:%i "/proc/$(api_pid)/root$D/client.crt" "/proc/$(api_pid)/root$D/client.key"; }
