"""Lets cloud-init write the files of user-data, as at a boot, and prints which commands it runs if two parts have some."""
import sys

from cloudinit import handlers, templater, util
from cloudinit.config import cc_write_files
from cloudinit.handlers.cloud_config import CloudConfigPartHandler


class Paths:
    @staticmethod
    def get_ipath(_name):
        return "/tmp/merged"


def merged(parts):
    """Merge the parts of one user-data, or of one vendor-data, as cloud-init does."""
    handler = CloudConfigPartHandler(Paths)
    handler.handle_part(None, handlers.CONTENT_START, None, None, None, None)
    for part in parts:
        handler.handle_part(None, "text/cloud-config", "part", part, None, {})
    handler.handle_part(None, handlers.CONTENT_END, None, None, None, None)
    return util.load_yaml(open("/tmp/merged").read())


command, *paths = sys.argv[1:]
texts = [open(path).read() for path in paths]

if command == "write":
    text = texts[0]
    if text.startswith("## template: jinja"):
        text = templater.render_string(text, {})
    files = util.load_yaml(text).get("write_files", [])
    cc_write_files.write_files("write_files", files, "root:root")
elif command == "parts":
    print(*merged(texts)["runcmd"])
elif command == "vendor":
    # User-data comes first, vendor-data last, as in cloudinit.helpers.ConfigMerger.
    print(*util.mergemanydict([merged([text]) for text in texts])["runcmd"])
elif command == "order":
    modules = [name.replace("-", "_") for name in util.load_yaml(texts[0])["cloud_final_modules"]]
    sys.exit(modules.index("scripts_vendor") > modules.index("scripts_user"))
