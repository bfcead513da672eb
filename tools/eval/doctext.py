"""doctext.py - the words of a document as plain text, with Python alone: enough to check that a span stands in it.

This is not how nexus reads documents (src/rag/extract_*.c); it shares no code with it, so that one can't repeat the
mistakes of the other. PDF files need pdftotext; without it text_of() returns None.
"""
import email
import email.policy
import gzip
import html
import re
import shutil
import subprocess
import zipfile


def squeeze(text):
    """Runs of blanks as one blank: lines are broken differently by everybody."""
    return " ".join(text.split())


def office(path, members):
    """The texts of an office file's parts: each paragraph or cell on a line."""
    lines = []
    with zipfile.ZipFile(path) as z:
        for name in z.namelist():
            if re.fullmatch(members, name):
                xml = z.read(name).decode("utf-8")
                xml = re.sub(r"</(w:p|si|text:p|a:p|row)>", "\n", xml)
                lines.append(html.unescape(re.sub(r"<[^>]+>", " ", xml)))
    return "\n".join(lines)


def roff(text):
    """Fonts, escapes and macro names away; what remains is what a reader sees, nearly."""
    lines = []
    for line in text.splitlines():
        if line.startswith(('.\\"', "'\\\"")):
            continue
        line = re.sub(r"^\.[A-Za-z]+ ?", "", line)
        line = re.sub(r"\\f(\[[A-Z]*\]|\([A-Z]{2}|.)", "", line)
        lines.append(line.replace("\\-", "-").replace("\\&", "").replace('" ', " "))
    return "\n".join(lines)


def text_of(path):
    name = path.name
    data = path.read_bytes()
    if name.endswith(".gz"):
        data = gzip.decompress(data)
        name = name[:-3]
    if name.endswith(".docx"):
        return office(path, r"word/document\.xml")
    if name.endswith(".xlsx"):
        return office(path, r"xl/sharedStrings\.xml|xl/worksheets/.*\.xml")
    if name.endswith(".pdf"):
        if not shutil.which("pdftotext"):
            return None
        return subprocess.run(["pdftotext", str(path), "-"], check=True, capture_output=True).stdout.decode()
    if name.endswith(".eml"):
        return email.message_from_bytes(data, policy=email.policy.default).get_content()
    text = data.decode("utf-8")
    if name.endswith(".html"):
        return html.unescape(re.sub(r"<[^>]+>", "", text))
    if re.search(r"\.[1-9]$", name):
        return roff(text)
    return text
