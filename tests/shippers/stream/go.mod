// What the API server rotates its log with, in the version that it has it in.
module kube-audit-bootstrap/shippers/stream

go 1.19

require gopkg.in/natefinch/lumberjack.v2 v2.2.1
