"""collect.py - fetches the training text from Debian's archive.

Owns:     build/mini/ (private apt lists, unpacked packages, the text files).
Refuses:  the system's own apt state, and any package that is held out.
Idea:     the package index and its English translations give names, synopses
          and descriptions; a fixed list of packages is unpacked (never
          installed) for manual pages, manuals and WordNet's glosses.
Invariant: nothing that belongs to a held-out source package leaves this file
          except through exam.jsonl.gz, which only the examination reads.
"""

import argparse
import gzip
import hashlib
import html.parser
import json
import re
import subprocess
import sys
from pathlib import Path

ARCHIVE = "http://deb.debian.org/debian"
SUITE = "bookworm"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

MANUALS = """debian-reference-en developers-reference debian-policy debian-handbook
    debian-faq maint-guide debmake-doc installation-guide-amd64 apt-doc
    aptitude-doc-en harden-doc release-notes""".split()

# Packages whose manual pages give the questions on commands.
PAGES = """manpages manpages-dev man-db coreutils findutils grep sed tar gzip bzip2
    xz-utils zstd util-linux util-linux-extra bsdutils bsdextrautils procps psmisc
    net-tools iproute2 iputils-ping git-man openssh-client openssh-server gnupg gpg
    binutils-common debhelper devscripts dpkg dpkg-dev apt apt-utils aptitude systemd
    udev lvm2 e2fsprogs btrfs-progs xfsprogs dosfstools mdadm parted cryptsetup-bin
    netpbm imagemagick-6-common ghostscript poppler-utils texlive-binaries texinfo
    texlive-extra-utils perl perl-doc python3.11-doc python3.11 x11-utils x11-xserver-utils
    x11-apps xterm moreutils mtools sharutils passwd login adduser cron at logrotate
    rsync curl wget less vim-common nano emacs-common tmux screen mutt bind9-dnsutils
    bind9-utils nmap tcpdump traceroute whois samba-common-bin smbclient nfs-common
    cups-client cups-daemon postgresql-client-15 postgresql-15 mariadb-client
    sqlite3 redis-tools ldap-utils slapd krb5-user openssl gnutls-bin subversion
    mercurial-common cvs rcs quilt patch diffutils diffstat patchutils cmake-data
    automake autoconf libtool-bin m4 bison flex gdb strace ltrace valgrind linux-perf
    sysstat iotop htop lsof ethtool bridge-utils wireless-tools iw hdparm
    smartmontools pciutils usbutils lshw dmidecode alsa-utils pulseaudio-utils sox
    ffmpeg mpv vorbis-tools flac lame cdrtools genisoimage wodim xorriso squashfs-tools
    qemu-utils qemu-system-common libvirt-clients lxc docker.io podman buildah
    nftables iptables ipset fail2ban bash dash zsh-common ksh fish-common gawk mawk
    jq xmlstarlet xsltproc libxml2-utils docbook-utils groff groff-base man2html mandoc
    aspell hunspell wordnet dict dictd units bc dc gnuplot-nox octave graphviz r-base-core
    netcat-openbsd socat inetutils-tools telnet ftp lftp ncftp postfix exim4-base
    dovecot-core procmail maildrop mailutils bsd-mailx apache2-utils apache2-bin nginx-common
    dnsmasq-base isc-dhcp-client isc-dhcp-server ntpsec chrony tzdata schroot debootstrap
    lintian reprepro apt-file aptly dh-make dh-python pbuilder sbuild cowbuilder
    geotiff-bin gdal-bin proj-bin netcdf-bin hdf5-tools libtiff-tools webp exiftool
    libimage-exiftool-perl jpegoptim optipng pngcrush potrace inkscape qpdf pdftk-java
    unzip zip p7zip-full cpio lzip lzop arj rpm alien fakeroot gettext intltool
    asciidoc-base pandoc lynx w3m elinks links2 irssi weechat-curses tor gpsd-clients
    inn2 mgetty sendmail-bin heimdal-clients globus-gass-copy-progs lam-runtime
    openmpi-bin slurm-client torque-client xfonts-utils fontforge t1utils
    lcdf-typetools bibtex2html tofrodos recode uni2ascii dos2unix erlang-base ruby3.1
    tcl8.6-doc tk8.6-doc tcllib libncurses-dev ncurses-bin ncurses-doc""".split()


# Parts of a path that say that a manual is a translation.
FOREIGN = re.compile(
    r"[./](ar|ca|cs|da|de|el|es|fa|fi|fr|hr|hu|id|it|ja|ko|nb|nl|pl|pt|pt-br|pt_BR|pt-PT|ro|ru|sk|"
    r"sv|tr|uk|vi|zh|zh-cn|zh-CN|zh-TW|[a-z]{2}-[A-Z]{2})[./]")


def is_held(source):
    """True for the packages that only the examination may use."""
    return hashlib.sha256(source.encode()).hexdigest()[0] == "0"


class Archive:
    """The Debian archive through apt, with lists of our own."""

    def __init__(self, root):
        self.root = root
        (root / "lists/partial").mkdir(parents=True, exist_ok=True)
        (root / "debs").mkdir(exist_ok=True)
        (root / "unpacked").mkdir(exist_ok=True)
        sources = root / "sources.list"
        sources.write_text(f"deb [signed-by={KEYRING}] {ARCHIVE} {SUITE} main\n")
        self.options = [
            "-o", "Acquire::Languages=en", "-o", f"Dir::State::Lists={root}/lists",
            "-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=",
            "-o", f"Dir::Etc::SourceList={sources}", "-o", "Dir::Etc::SourceParts=/dev/null",
            "-o", "APT::Sandbox::User=root", "-o", "Acquire::GzipIndexes=false"]

    def update(self):
        subprocess.run(["apt-get", "-qq", *self.options, "update"], check=True)

    def index(self):
        """Yields one dict of fields for every binary package, once each."""
        text = subprocess.run(["apt-cache", *self.options, "dumpavail"], check=True,
                              capture_output=True).stdout.decode("utf-8", "replace")
        seen = set()
        for fields in stanzas(text):
            in_main = fields.get("Filename", "").startswith("pool/main/")
            if in_main and fields["Package"] not in seen:
                seen.add(fields["Package"])
                yield fields

    def translations(self):
        """Maps a description's MD5 to its long English text."""
        longs = {}
        for path in sorted((self.root / "lists").glob("*i18n_Translation-en*")):
            text = subprocess.run(["/usr/lib/apt/apt-helper", "cat-file", str(path)], check=True,
                                  capture_output=True).stdout.decode("utf-8", "replace")
            for fields in stanzas(text):
                if "Description-en" in fields:
                    longs[fields["Description-md5"]] = fields["Description-en"]
        return longs

    def unpack(self, names):
        """Downloads the packages and unpacks each under its own folder."""
        wanted = [n for n in dict.fromkeys(names) if not (self.root / "unpacked" / n).is_dir()]
        for name in wanted:
            subprocess.run(["apt-get", "-qq", *self.options, "download", name],
                           cwd=self.root / "debs", check=True)
            (deb,) = (self.root / "debs").glob(f"{name}_*.deb")
            subprocess.run(["dpkg-deb", "-x", deb, self.root / "unpacked" / name], check=True)
            deb.unlink()


def stanzas(text):
    """Splits a Debian control file into dicts; continuation lines keep their newline."""
    for block in text.split("\n\n"):
        fields, key = {}, None
        for line in block.split("\n"):
            if line[:1] in (" ", "\t"):
                if key:
                    fields[key] += "\n" + line[1:]
            elif ":" in line:
                key, value = line.split(":", 1)
                fields[key] = value.strip()
        if "Package" in fields:
            yield fields


def paragraphs(long_text):
    """The long description as paragraphs: folded prose, lists kept line by line."""
    out, prose = [], []
    for line in long_text.split("\n")[1:]:
        if line.strip() == ".":
            out.append(" ".join(prose))
            prose = []
        elif line.startswith(" ") or re.match(r"\s*[-*+o] ", line):
            prose.append("\n" + line.strip())
        else:
            prose.append(line.strip())
    out.append(" ".join(prose))
    return [re.sub(r" ?\n ?", "\n", p).strip() for p in out if p.strip()]


def packages(archive):
    """(trained, held, source of every package) from the index."""
    longs = archive.translations()
    trained, held, source_of = [], [], {}
    for fields in archive.index():
        source = fields.get("Source", fields["Package"]).split(" ")[0]
        source_of[fields["Package"]] = source
        row = {"name": fields["Package"], "source": source,
               "section": fields.get("Section", "misc"),
               "synopsis": fields.get("Description", "").split("\n")[0].strip(),
               "description": paragraphs(longs.get(fields.get("Description-md5"), ""))}
        if row["synopsis"]:
            (held if is_held(source) else trained).append(row)
    return trained, held, source_of


def read_any(path):
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    return data.decode("utf-8", "replace")


def manual_pages(root, names, mandoc):
    """Yields (package, command, section, summary, body) for each English page."""
    seen = set()
    for name in names:
        for path in sorted((root / "unpacked" / name).glob("usr/share/man/man[1-8]/*")):
            if not path.is_file() or path.is_symlink() or path in seen:
                continue
            page = render(path, mandoc)
            match = page and re.search(
                r"^NAME\n((?:[ \t]+.*\n)+)", page, re.M)
            if not match:
                continue
            line = re.sub(r"\s+", " ", match.group(1).replace("\u2010\n", "")).strip()
            parts = re.split(r" +[-\u2010-\u2014]+ +", line, maxsplit=1)
            if len(parts) == 2 and 4 <= len(parts[1]) <= 160:
                section = path.name.removesuffix(".gz").rsplit(".", 1)[1][:1]
                command = parts[0].split(",")[0].strip()
                yield name, command, section, parts[1], re.sub(r"^ {5}", "", page, flags=re.M)


def render(path, mandoc):
    """The page as text, without overstrikes and page header; None if mandoc can't."""
    try:
        roff = read_any(path)
    except (OSError, EOFError):
        return None
    if roff.startswith(".so ") or len(roff) > 400_000:
        return None
    done = subprocess.run([mandoc, "-T", "utf8", "-O", "width=100"], input=roff.encode(),
                          capture_output=True)
    text = re.sub(".\b", "", done.stdout.decode("utf-8", "replace"))
    body = "\n".join(line.rstrip() for line in text.split("\n")[1:-2])
    return re.sub(r"\n{3,}", "\n\n", body).strip() + "\n"


class Prose(html.parser.HTMLParser):
    """Collects the readable text of an HTML page."""
    BLOCKS = {"p", "div", "li", "h1", "h2", "h3", "h4", "tr", "dt", "dd", "pre", "br", "section"}

    def __init__(self):
        super().__init__()
        self.parts, self.hidden, self.pre = [], 0, 0

    def handle_starttag(self, tag, attrs):
        self.hidden += tag in ("script", "style", "nav", "head")
        self.pre += tag == "pre"
        if tag in self.BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag):
        self.hidden -= tag in ("script", "style", "nav", "head")
        self.pre -= tag == "pre"
        if tag in self.BLOCKS:
            self.parts.append("\n")

    def handle_data(self, data):
        if self.hidden <= 0:
            self.parts.append(data if self.pre else re.sub(r"\s+", " ", data))


def manuals(root, names):
    """Yields (package, text) for the English manuals, as text or HTML."""
    for name in names:
        base = root / "unpacked" / name / "usr/share"
        for path in sorted(base.rglob("*")):
            if not path.is_file() or path.is_symlink():
                continue
            inside = str(path.relative_to(base)).replace("en-US", "en")
            kind = path.name.removesuffix(".gz")
            if FOREIGN.search(inside) or re.match(r"(copyright|changelog|NEWS|README)", kind):
                continue
            if kind.endswith((".txt", ".text")):
                yield name, read_any(path)
            elif kind.endswith((".html", ".en.html")):
                parser = Prose()
                parser.feed(read_any(path))
                text = "".join(parser.parts)
                yield name, re.sub(r"\n\s*\n\s*", "\n\n", text).strip()


def glosses(root):
    """Yields 'word: gloss' lines of WordNet's four data files."""
    for path in sorted((root / "unpacked/wordnet-base/usr/share/wordnet").glob("data.*")):
        for line in read_any(path).split("\n"):
            head, bar, gloss = line.partition(" | ")
            fields = head.split(" ")
            if bar and len(fields) > 4:
                words = [fields[4 + 2 * i].replace("_", " ") for i in range(int(fields[3], 16))]
                yield ", ".join(words) + ": " + gloss.strip()


def write_lines(path, rows):
    count = 0
    with open(path, "w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    print(f"{path.name}: {count} rows", flush=True)


def write_exam(path, held):
    """The held-out packages, small enough to be committed; bytes depend on the rows alone."""
    lines = [json.dumps({"name": r["name"], "source": r["source"], "synopsis": r["synopsis"],
                         "detail": (r["description"] or [""])[0][:400]}, ensure_ascii=False)
             for r in sorted(held, key=lambda r: r["name"])]
    path.write_bytes(gzip.compress("\n".join(lines).encode() + b"\n", 9, mtime=0))
    print(f"{path.name}: {len(lines)} rows", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("build/mini"))
    parser.add_argument("--exam", type=Path, default=Path(__file__).parent / "exam.jsonl.gz")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    root = args.out.resolve() / "apt"
    archive = Archive(root)
    archive.update()

    trained, held, source_of = packages(archive)
    write_lines(args.out / "packages.jsonl", trained)
    write_exam(args.exam, held)

    def allowed(names):
        kept = [n for n in names if n in source_of and not is_held(source_of[n])]
        print("left out:", *sorted(set(names) - set(kept)), flush=True)
        return kept

    books, pages = allowed(MANUALS), allowed(PAGES)
    words = allowed(["wordnet-base"])
    archive.unpack(allowed(["mandoc"]) + words + books + pages)
    mandoc = root / "unpacked/mandoc/usr/bin/mandoc"

    write_lines(args.out / "manuals.jsonl",
                ({"package": n, "text": t} for n, t in manuals(root, books) if len(t) > 200))
    write_lines(args.out / "glosses.jsonl", ({"text": g} for g in glosses(root)) if words else [])
    write_lines(args.out / "pages.jsonl",
                ({"package": p, "name": c, "section": s, "summary": y, "text": t}
                 for p, c, s, y, t in manual_pages(root, pages, mandoc)))


if __name__ == "__main__":
    sys.exit(main())
