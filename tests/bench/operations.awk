# Turns a trace (strace -y) of a first apply into the statements of floor.c, one for each call that changes the file
# system: awk -v root=DIR -f operations.awk TRACE

function fail(line) {
    print "operations.awk: unknown call; add it to this script: " line >"/dev/stderr"
    bad = 1
    exit 1
}
function number(text) { match(text, /-?[0-9]+/); return substr(text, RSTART, RLENGTH) }

# Returns the path of a name in a directory descriptor, relative to the root directory; "" if the path is outside it.
function path(directory, name) {
    gsub(/^[^<]*<|>$/, "", directory)
    gsub(/"/, "", name)
    if (name ~ /^\//) directory = (index(name, root "/") == 1 || name == root) ? "" : root
    name = directory "/" name
    gsub(/\/+/, "/", name)
    if (index(name "/", root "/") != 1) return ""
    name = substr(name, length(root) + 2)
    return name == "" ? "." : name
}
function quoted(name) { return "\"" name "\"" }

# Skip failed calls, signals and exits.
/ = -1 E/ || /^[0-9]* *(---|\+\+\+)/ { next }
{
    line = $0
    sub(/^[0-9]+ +/, "", line)
    call = line; sub(/\(.*/, "", call)
    result = line; sub(/.*\) += /, "", result)
    inner = line; sub(/^[a-z0-9_]+\(/, "", inner); sub(/\) += .*/, "", inner)
    count = split(inner, argument, /, /)
    fd = number(argument[1])
}
call ~ /^(open|openat|openat2|creat)$/ {
    opened = number(result)
    delete slot[opened]
    if (line ~ /O_CREAT/) {
        name = call == "open" ? path("", argument[1]) : path(argument[1], argument[2])
        match(line, /0[0-7]+(, resolve|\)|}, )/)
        mode = line ~ /mode=/ ? line : "mode=" argument[count]
        sub(/.*mode=/, "", mode); sub(/[^0-7].*/, "", mode)
        if (name != "") { slot[opened] = files++; print "create(" slot[opened] ", " quoted(name) ", " mode ");" }
    }
    where[opened] = result
    next
}
call == "close" && fd in slot { print "close(files[" slot[fd] "]);"; delete slot[fd]; next }
call ~ /^(dup|dup2|dup3|fcntl)$/ && line ~ /F_DUPFD|^dup/ { if (fd in slot) slot[number(result)] = slot[fd]; next }
call ~ /^(write|pwrite64|writev|copy_file_range|sendfile)$/ {
    if (call == "copy_file_range") fd = number(argument[3])
    if (fd in slot) print "put(" slot[fd] ", " number(result) ");"
    else if (fd > 2) fail(line)
    next
}
call ~ /^(fsync|fdatasync)$/ {
    if (fd in slot) print "check(" call "(files[" slot[fd] "]), \"" call "\");"
    else print "sync_directory(" quoted(path(argument[1], "")) ");"
    next
}
call == "fchmod" && fd in slot { print "check(fchmod(files[" slot[fd] "], " argument[2] "), \"fchmod\");"; next }
call == "fchown" && fd in slot {
    print "check(fchown(files[" slot[fd] "], " argument[2] ", " argument[3] "), \"fchown\");"; next
}
call == "fchmod" { print "check(chmod(" quoted(path(argument[1], "")) ", " argument[2] "), \"chmod\");"; next }
call == "fchown" {
    print "check(chown(" quoted(path(argument[1], "")) ", " argument[2] ", " argument[3] "), \"chown\");"; next
}
call == "fchmodat" || call == "fchmodat2" {
    print "check(chmod(" quoted(path(argument[1], argument[2])) ", " argument[3] "), \"chmod\");"; next
}
call == "mkdirat" {
    print "check(mkdir(" quoted(path(argument[1], argument[2])) ", " argument[3] "), \"mkdir\");"; next
}
call == "mkdir" { print "check(mkdir(" quoted(path("", argument[1])) ", " argument[2] "), \"mkdir\");"; next }
call ~ /^(renameat|renameat2|linkat)$/ {
    do_it = call == "linkat" ? "link" : "rename"
    print "check(" do_it "(" quoted(path(argument[1], argument[2])) ", " quoted(path(argument[3], argument[4])) \
        "), \"" do_it "\");"
    next
}
call ~ /^(rename|link)$/ {
    print "check(" call "(" quoted(path("", argument[1])) ", " quoted(path("", argument[2])) "), \"" call "\");"
    next
}
call == "unlinkat" {
    do_it = line ~ /AT_REMOVEDIR/ ? "rmdir" : "unlink"
    print "check(" do_it "(" quoted(path(argument[1], argument[2])) "), \"" do_it "\");"; next
}
call ~ /^(unlink|rmdir)$/ { print "check(" call "(" quoted(path("", argument[1])) "), \"" call "\");"; next }
# This script does not know the other calls that change files. No floor is better than a wrong floor.
call ~ /^(f?truncate|fallocate|symlink(at)?|mknod(at)?|l?chown|chmod|fchownat|utimensat)$/ { fail(line) }
call ~ /^([fl]?setxattr|sync|syncfs|sync_file_range)$/ { fail(line) }
END { exit bad }
