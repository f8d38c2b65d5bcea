"""Lets cloud-init write the files of a user-data, as it does at a boot, and says what it makes of two that meet."""
import sys

from cloudinit import templater, util
from cloudinit.config import cc_write_files

command, *paths = sys.argv[1:]
texts = [open(path).read() for path in paths]

if command == "write":
    text = texts[0]
    if text.startswith("## template: jinja"):
        text = templater.render_string(text, {})
    files = util.load_yaml(text).get("write_files", [])
    cc_write_files.write_files("write_files", files, "root:root")
elif command == "merge":
    # User-data comes first, vendor-data last, as cloudinit.helpers.ConfigMerger has them.
    print(util.mergemanydict([util.load_yaml(text) for text in texts])["runcmd"])
elif command == "order":
    modules = [name.replace("-", "_") for name in util.load_yaml(texts[0])["cloud_final_modules"]]
    sys.exit(modules.index("scripts_vendor") > modules.index("scripts_user"))
