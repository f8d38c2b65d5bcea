#!/bin/sh
# Runs in the folder that tests/examples.sh makes and deletes.
set -eu
cd /judge/image-examples
latest=$1
examples=/judge/examples
given=/judge/image-examples/configured
program=/judge/kube-audit-bootstrap/kube-audit-bootstrap
config=/etc/kube-audit-bootstrap/config.yaml
policy=/etc/kube-audit-bootstrap/audit-policy.yaml

ok() { printf 'ok  %s\n' "$*"; }
fail() { printf 'FAILED  %s\n' "$*" >&2; exit 1; }
said_of() { grep -q -- "$1" /tmp/said || fail "the error message does not contain $1: $(cat /tmp/said)"; }
# refused WORD COMMAND...: the command fails, and its message contains the word.
refused() {
    word=$1
    shift
    if "$@" >/tmp/said 2>&1; then fail "accepted, but must be refused: $*"; fi
    said_of "$word"
}
quiet() { "$@" >/tmp/said 2>&1 || { cat /tmp/said >&2; fail "$*"; }; }

# is_like FILE MODE EXPECTED
is_like() {
    cmp "$1" "$3" || fail "$1"
    [ "$(stat -c '%a %U' "$1")" = "$2 root" ] || fail "$1 has $(stat -c '%a %U' "$1")"
}
# files_are ROOT: the files of the configuration are at the right paths below a root directory.
files_are() {
    is_like "$1$config" 644 $given/config.yaml
    is_like "$1$policy" 600 $given/audit-policy.yaml
    rm -r "$1/etc/kube-audit-bootstrap"
}

# cloud-init
for set in default configured; do
    quiet cloud-init schema --config-file $set/cloud-init.yaml
done
sed 's/"0644"/0644/' configured/cloud-init.yaml >/tmp/broken.yaml
refused permissions cloud-init schema --config-file /tmp/broken.yaml
python3 /judge/written.py write $given/cloud-init.yaml
files_are ''
python3 /judge/written.py order /etc/cloud/cloud.cfg || fail 'cloud-init runs scripts of vendor-data after those of user-data'
# README.md says which commands run if several parts have commands.
printf '#cloud-config\nruncmd: [first]\n' >/tmp/first
printf '#cloud-config\nruncmd: [second]\n' >/tmp/second
{ cat /tmp/second; echo 'merge_how: "dict(no_replace,recurse_list)+list(append)+str()"'; } >/tmp/merging
runs() { said=$(python3 /judge/written.py "$1" /tmp/first "$2"); [ "$said" = "$3" ] || fail "$1 $2: cloud-init runs $said, expected $3"; }
runs parts /tmp/second second
runs parts /tmp/merging 'first second'
runs vendor /tmp/second first
runs vendor /tmp/merging first
ok "cloud-init $(cloud-init --version | cut -d ' ' -f 2): user-data is valid, and its files are written unchanged; scripts of vendor-data run first"
printf '#!/bin/sh\necho "$@" >/tmp/called\n' >/usr/bin/kube-audit-bootstrap
chmod 0755 /usr/bin/kube-audit-bootstrap
sh $given/vendor-data.sh
files_are ''
[ "$(cat /tmp/called)" = apply ] || fail 'vendor-data does not run apply'
ok 'vendor-data: its files are written unchanged, and then it runs apply'
rm /usr/bin/kube-audit-bootstrap

# Cluster API
$examples user-data "$latest" <configured/cluster-api.yaml >/tmp/user-data
quiet cloud-init schema --config-file /tmp/user-data
python3 /judge/written.py write /tmp/user-data
files_are ''
sed 's/permissions/permission/' configured/cluster-api.yaml >/tmp/broken.yaml
refused 'unknown field "permission"' sh -c "$examples kubeadm $latest </tmp/broken.yaml"
for set in default configured; do
    $examples kubeadm "$latest" <$set/cluster-api.yaml >/tmp/said
    $examples user-data "$latest" <$set/cluster-api-files.yaml >/tmp/user-data
    quiet cloud-init schema --config-file /tmp/user-data
    mkdir -p /tmp/$set/etc/kubernetes
    for version in 1.30.0 "$latest"; do
        $examples kubeadm "$version" <$set/cluster-api-files.yaml >/tmp/$set/etc/kubernetes/kubeadm.yaml
        [ "$version" = "$latest" ] || continue
        quiet /judge/kubeadm config validate --config /tmp/$set/etc/kubernetes/kubeadm.yaml
    done
done
python3 /judge/written.py write /tmp/user-data
is_like /etc/kubernetes/audit-policy.yaml 600 $given/audit-policy.yaml
mkdir -p /tmp/configured/etc/kube-audit-bootstrap
cp $given/config.yaml $given/audit-policy.yaml /tmp/configured/etc/kube-audit-bootstrap
# Counts the changes of the kubeadm step that the program would still make there.
left() {
    $program plan --root "/tmp/$1" --output json >/tmp/plan || [ $? -eq 3 ] || return 0
    grep -c '"step": "kubeadm"' /tmp/plan || true
}
[ "$(left default) $(left configured)" = '0 0' ] || fail 'the program would change what Cluster API made'
cp /tmp/default/etc/kubernetes/kubeadm.yaml /tmp/configured/etc/kubernetes/kubeadm.yaml
[ "$(left configured)" = 1 ] || fail 'the program does not see another configuration'
ok "Cluster API and kubeadm $latest: they read the snippets strictly, and the kubeadm configuration has everything that the program would add"

# Flatcar
for set in default configured; do
    $examples butane <$set/ignition.bu >/tmp/$set.ign
done
sed 's/    mode: 0644/    mod: 0644/' configured/ignition.bu >/tmp/broken.bu
refused 'unused key mod' sh -c "$examples butane </tmp/broken.bu"
python3 - /tmp/configured.ign <<'END'
import base64, gzip, json, os, sys, urllib.parse
config = json.load(open(sys.argv[1]))
for file in config["storage"]["files"]:
    contents = file["contents"]
    if not contents["source"].startswith("data:"):
        assert file["path"] == "/opt/bin/kube-audit-bootstrap" and file["mode"] == 0o755, file
        continue
    head, data = contents["source"].split(",", 1)
    data = base64.b64decode(data) if head.endswith(";base64") else urllib.parse.unquote_to_bytes(data)
    data = gzip.decompress(data) if contents.get("compression") == "gzip" else data
    path = "/tmp/flatcar" + file["path"]
    os.makedirs(os.path.dirname(path), exist_ok=True)
    open(path, "wb").write(data)
    os.chmod(path, file["mode"])
for unit in config["systemd"]["units"]:
    path = "/etc/systemd/system/" + unit["name"]
    open(path, "w").write(unit.get("contents", "[Service]\nExecStart=/bin/true\n"))
    for dropin in unit.get("dropins", []):
        os.makedirs(path + ".d")
        open(path + ".d/" + dropin["name"], "w").write(dropin["contents"])
END
files_are /tmp/flatcar
mkdir -p /opt/bin
install -m 0755 $program /opt/bin/kube-audit-bootstrap
mkdir /etc/systemd/system/kube-audit-bootstrap-heal.path.d
cp default/systemd.conf /etc/systemd/system/kube-audit-bootstrap-heal.path.d/10-manifest.conf
# systemd-analyze reports an ignored directive, but succeeds.
units_are_right() { systemd-analyze verify "$@" >/tmp/said 2>&1 && [ ! -s /tmp/said ]; }
units_are_right kubeadm.service kube-audit-bootstrap.service kube-audit-bootstrap-heal.path kube-audit-bootstrap-heal.timer ||
    fail "systemd finds a fault: $(cat /tmp/said)"
sed -i s/PathChanged=/PathChange=/ /etc/systemd/system/kube-audit-bootstrap-heal.path.d/10-manifest.conf
if units_are_right kube-audit-bootstrap-heal.path; then fail 'systemd does not read the drop-in'; fi
said_of PathChange
ok "Butane reads the config strictly; $(systemd-analyze --version | sed -n 's/ (.*//;1p') verifies the units and the drop-in"

# Image builders
mkdir -p /tmp/role/files
cp $given/config.yaml $given/audit-policy.yaml /tmp/role/files
tar -czf /tmp/role/files/kube-audit-bootstrap.tar.gz -C /judge kube-audit-bootstrap
installed() {
    cmp "$1/usr/bin/kube-audit-bootstrap" $program || fail "nothing is installed in $1/"
    [ "$(readlink "$1/usr/local/bin/kubeadm")" = /usr/bin/kube-audit-bootstrap ] || fail "no hook in $1/"
    [ -L "$1/etc/systemd/system/multi-user.target.wants/kube-audit-bootstrap.service" ] || fail "no unit is enabled in $1/"
    files_are "$1"
}

mkdir -p /tmp/roles/audit/tasks
cp -r /tmp/role/files /tmp/roles/audit/
printf -- '- hosts: localhost\n  connection: local\n  gather_facts: false\n  roles: [audit]\n' >/tmp/play.yaml
for set in default configured; do
    cp $set/ansible.yml /tmp/roles/audit/tasks/main.yml
    quiet ansible-playbook --syntax-check -i localhost, /tmp/play.yaml
    quiet ansible-playbook -i localhost, /tmp/play.yaml
done
installed ''
[ ! -e /tmp/kube-audit-bootstrap ] || fail 'Ansible does not remove the release'
ok "Ansible $(ansible --version | sed -n '1s/.* \(.*\)].*/\1/p'): the tasks install the release and the configuration"

for set in default configured; do
    mkdir -p /tmp/packer-$set
    cp /tmp/role/files/* /tmp/packer-$set
    { printf 'source "null" "image" {\n  communicator = "none"\n}\nbuild {\n  sources = ["null.image"]\n'; cat $set/packer.pkr.hcl; echo '}'; } \
        >/tmp/packer-$set/image.pkr.hcl
    (cd /tmp/packer-$set && quiet env CHECKPOINT_DISABLE=1 /judge/packer validate .)
done
# Run Packer's commands in the same shell as Packer.
sed -n '/inline = \[/,/\]/s/^ *\("[^"]*"\),$/\1/p' configured/packer.pkr.hcl | python3 -c 'import json, sys; [print(json.loads(line)) for line in sys.stdin]' >/tmp/inline
cp /tmp/role/files/* /tmp
quiet /judge/kube-audit-bootstrap/install.sh --root / --uninstall
quiet sh -e /tmp/inline
installed ''
sed -i 's/execute_command/execute_comand/' /tmp/packer-default/image.pkr.hcl
(cd /tmp/packer-default && refused execute_comand env CHECKPOINT_DISABLE=1 /judge/packer validate .)
ok "Packer $(CHECKPOINT_DISABLE=1 /judge/packer version | sed -n '1s/Packer v//p'): the provisioners are valid, and their commands install the release and the configuration"

mkdir -p /tmp/mkosi/base/usr/lib
echo ID=custom >/tmp/mkosi/base/usr/lib/os-release
cp -r /judge/kube-audit-bootstrap $given/config.yaml $given/audit-policy.yaml /tmp/mkosi
printf '[Distribution]\nDistribution=custom\n[Output]\nFormat=directory\nOutput=image\n[Content]\nBaseTrees=base\nBootable=no\n' >/tmp/mkosi/mkosi.conf
install -m 0755 configured/mkosi.postinst /tmp/mkosi/mkosi.postinst
(cd /tmp/mkosi && quiet mkosi build)
installed /tmp/mkosi/image
ok "$(mkosi --version): an image has the release and the configuration"

# No engine builds the Dockerfiles here. They are only read, and their copies are compared.
# copies FILE LINE...: the Dockerfile makes exactly these copies.
copies() {
    file=$1
    shift
    $examples dockerfile <"$file" >/tmp/copied
    printf '%s\n' "$@" | cmp - /tmp/copied || fail "$file copies $(cat /tmp/copied)"
}
program_to='[kube-audit-bootstrap] /usr/bin/' release_to='[kube-audit-bootstrap/] /tmp/kube-audit-bootstrap/'
copies default/kind.Dockerfile "$program_to"
copies default/kairos.Dockerfile "$release_to"
copies configured/kind.Dockerfile "$program_to" "[config.yaml] $config" "[audit-policy.yaml] $policy"
copies configured/kairos.Dockerfile "$release_to" "[config.yaml] $config" "[audit-policy.yaml] $policy"
echo 'COPY ["a"' | refused 'COPY requires' $examples dockerfile
ok "BuildKit's parser reads the Dockerfiles"
