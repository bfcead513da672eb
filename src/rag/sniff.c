/* sniff.c - what kind of document bytes are: by what they begin with, then by the name's end, then by what somebody
 * said they are. */
#include <string.h>
#include <strings.h>

#include "rag/extract.h"
#include "rag/sniff.h"

#define HEAD 4096

/* ---- By bytes ---- */

static bool begins(nx_str s, const char *with, size_t n)
{
    return s.len >= n && memcmp(s.p, with, n) == 0;
}

static bool holds(nx_str s, const char *what)
{
    size_t n = strlen(what);

    for (const char *at = s.p; s.len >= n && (size_t)(at - s.p) <= s.len - n; at++) {
        at = memchr(at, what[0], s.len - n - (size_t)(at - s.p) + 1);
        if (!at) return false;
        if (memcmp(at, what, n) == 0) return true;
    }
    return false;
}

/* A zip's list of members stands at its end, the first member's name at its beginning. */
static nx_doc_kind zip_kind(nx_str s)
{
    size_t n = s.len < (1 << 20) ? s.len : 1 << 20;
    nx_str head = {s.p, s.len < HEAD ? s.len : HEAD}, tail = {s.p + s.len - n, n};

    if (holds(head, "application/epub+zip")) return NX_DOC_EPUB;
    if (holds(head, "application/vnd.oasis.opendocument")) return NX_DOC_ODT;
    if (holds(tail, "word/document.xml")) return NX_DOC_DOCX;
    if (holds(tail, "ppt/presentation.xml")) return NX_DOC_PPTX;
    if (holds(tail, "xl/workbook.xml")) return NX_DOC_XLSX;
    if (holds(tail, "META-INF/container.xml")) return NX_DOC_EPUB;
    return NX_DOC_KINDS;
}

/* The folder of an old Office file names its streams in UTF-16. One of this name is a whole new Office file,
 * encrypted. */
static bool is_locked_office(nx_str s)
{
    static const char name[] = "E\0n\0c\0r\0y\0p\0t\0e\0d\0P\0a\0c\0k\0a\0g\0e";
    const char       *end = s.p + s.len, *at = s.p;

    while ((size_t)(end - at) >= sizeof name) {
        at = memchr(at, 'E', (size_t)(end - at) - sizeof name + 1);
        if (!at) return false;
        if (memcmp(at, name, sizeof name) == 0) return true;
        at++;
    }
    return false;
}

const char *nx_sniff_foreign(nx_str s)
{
    static const struct {
        const char *bytes;
        size_t      n;
        const char *what;
    } known[] = {
        {"\x89PNG\r\n", 6, "a PNG image"},
        {"\xFF\xD8\xFF", 3, "a JPEG image"},
        {"GIF8", 4, "a GIF image"},
        {"\x7F"
         "ELF",
         4, "a program"},
        {"MZ", 2, "a Windows program"},
        {"\xCA\xFE\xBA\xBE", 4, "a Java class"},
        {"OggS", 4, "audio or video"},
        {"ID3", 3, "audio"},
        {"fLaC", 4, "audio"},
        {"\x1A\x45\xDF\xA3", 4, "a video"},
        {"BZh", 3, "a bzip2 archive"},
        {"\xFD"
         "7zXZ",
         5, "an xz archive"},
        {"7z\xBC\xAF", 4, "a 7z archive"},
        {"\x28\xB5\x2F\xFD", 4, "a zstd archive"},
        {"Rar!", 4, "a RAR archive"},
        {"SQLite format 3", 15, "an SQLite database"},
        {"GGUF", 4, "a model"},
        {"\xD0\xCF\x11\xE0", 4, "an old Office file (save it as .docx, .xlsx or .pptx)"},
        {"wOFF", 4, "a font"},
        {"wOF2", 4, "a font"},
        {"\0\x01\0\0\0", 5, "a font"},
        {"!<arch>", 7, "a library or package"},
    };

    if (begins(s, "\xD0\xCF\x11\xE0", 4) && is_locked_office(s))
        return "an Office file with a password (save it without one)";
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (begins(s, known[i].bytes, known[i].n)) {
            /* A text may begin with letters like these; what they stand for has zeros soon. */
            if (known[i].n <= 4 && !memchr(s.p, '\0', s.len < 512 ? s.len : 512)) continue;
            return known[i].what;
        }
    if (s.len > 12 && memcmp(s.p + 4, "ftyp", 4) == 0) return "a video";
    if (begins(s, "RIFF", 4) && memchr(s.p, '\0', s.len < 64 ? s.len : 64))
        return "audio, video or an image";
    return begins(s, "PK\3\4", 4) ? "a zip archive of another kind" : NULL;
}

static bool begins_word(nx_str s, const char *word)
{
    size_t n = strlen(word);

    return s.len >= n && strncasecmp(s.p, word, n) == 0;
}

/* The first line is a request or a comment of roff's, and one of the first ones is a macro of manual pages:
 * definitions in front of it may hold anything. */
static bool is_roff(nx_str s)
{
    size_t at = 0;

    if (s.len > (64 << 10)) s.len = 64 << 10;
    while (at < s.len && strchr("\r\n", s.p[at]) && s.p[at]) at++;
    if (at == s.len || !s.p[at] || !strchr(".'\\", s.p[at])) return false;
    while (at < s.len) {
        nx_str l = {s.p + at, s.len - at};
        if (begins(l, ".TH", 3) || begins(l, "'TH", 3) || begins(l, ".Dd", 3) ||
            begins(l, ".SH", 3) || begins(l, ".Sh ", 4) || begins(l, ".so ", 4))
            return true;
        const char *nl = memchr(l.p, '\n', l.len);
        at = nl ? (size_t)(nl - s.p) + 1 : s.len;
    }
    return false;
}

static nx_doc_kind by_bytes(nx_str s)
{
    size_t at = 0;

    if (begins(s, "%PDF-", 5)) return NX_DOC_PDF;
    if (begins(s, "PK\3\4", 4)) return zip_kind(s);
    if (begins(s, "\xEF\xBB\xBF", 3)) at = 3;
    while (at < s.len && at < HEAD && strchr(" \t\r\n", s.p[at]) && s.p[at]) at++;
    s = (nx_str){s.p + at, s.len - at};
    if (begins_word(s, "<!doctype html") || begins_word(s, "<html")) return NX_DOC_HTML;
    if (begins_word(s, "<?xml") && holds((nx_str){s.p, s.len < HEAD ? s.len : HEAD}, "<html"))
        return NX_DOC_HTML;
    if (begins(s, "#!", 2)) return NX_DOC_CODE;
    return NX_DOC_KINDS;
}

/* ---- By name ---- */

typedef struct ending {
    const char *words; /* endings, a blank in front of and behind each */
    nx_doc_kind kind;
} ending;

static const ending endings[] = {
    {" md markdown mkd mdown ", NX_DOC_MARKDOWN},
    {" html htm xhtml ", NX_DOC_HTML},
    {" csv ", NX_DOC_CSV},
    {" tsv tab ", NX_DOC_TSV},
    {" json geojson ipynb ", NX_DOC_JSON},
    {" jsonl ndjson ", NX_DOC_JSONL},
    {" eml ", NX_DOC_EMAIL},
    {" docx docm dotx ", NX_DOC_DOCX},
    {" pptx pptm ppsx ", NX_DOC_PPTX},
    {" xlsx xlsm ", NX_DOC_XLSX},
    {" odt ott ods odp ", NX_DOC_ODT},
    {" epub ", NX_DOC_EPUB},
    {" pdf ", NX_DOC_PDF},
    {" man roff mdoc ", NX_DOC_ROFF},
    {" c h cc cpp cxx hpp hh cu cuh py js mjs cjs ts tsx jsx java kt kts go rs rb php pl pm sh bash zsh fish lua "
     "swift scala clj cljs hs ml mli el lisp scm r jl m mm cs fs vb sql css scss less vue svelte dart nim zig asm s "
     "v sv vhd vhdl tcl awk sed ps1 bat cmd gradle cmake mk mak proto thrift graphql tf hcl nix dockerfile ini cfg "
     "conf toml yaml yml xml xsl xsd svg properties env service socket timer rules diff patch ",
     NX_DOC_CODE},
    {" txt text rst adoc asciidoc org log tex bib readme license licence copying changelog news authors ",
     NX_DOC_TEXT},
};

static bool among(const char *words, nx_str end)
{
    for (const char *at = words; *at;) {
        const char *stop = strchr(++at, ' ');
        if (!stop) return false;
        if ((size_t)(stop - at) == end.len && strncasecmp(at, end.p, end.len) == 0) return true;
        at = stop;
    }
    return false;
}

nx_str nx_name_end(nx_str name)
{
    size_t from = name.len;

    /* A URL's question and fragment are no part of its name. */
    if (holds(name, "://"))
        for (size_t i = 0; i < name.len; i++)
            if (name.p[i] == '?' || name.p[i] == '#') name.len = i;
    for (from = name.len; from > 0; from--) {
        if (name.p[from - 1] == '/') return (nx_str){name.p + from, name.len - from};
        if (name.p[from - 1] == '.') break;
    }
    return (nx_str){name.p + from, name.len - from};
}

/* "1", "3pm", "8ssl": a section of the manual. */
static bool is_section(nx_str end)
{
    if (!end.len || end.len > 12 || end.p[0] < '1' || end.p[0] > '9') return false;
    for (size_t i = 1; i < end.len; i++)
        if (!((end.p[i] | 32) >= 'a' && (end.p[i] | 32) <= 'z')) return false;
    return true;
}

static nx_doc_kind by_name(nx_str name, nx_str bytes)
{
    nx_str end = nx_name_end(name);

    if (is_section(end)) {
        size_t at = 0;
        while (at < bytes.len && at < HEAD && (bytes.p[at] == '\n' || bytes.p[at] == ' ')) at++;
        if (is_roff(bytes) || (at < bytes.len && strchr(".'\\", bytes.p[at]) && bytes.p[at]))
            return NX_DOC_ROFF;
    }
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (among(endings[i].words, end)) return endings[i].kind;
    return NX_DOC_KINDS;
}

/* ---- By what somebody said ---- */

static const struct {
    const char *type;
    nx_doc_kind kind;
} types[] = {
    {"text/html", NX_DOC_HTML},
    {"application/xhtml", NX_DOC_HTML},
    {"text/markdown", NX_DOC_MARKDOWN},
    {"text/csv", NX_DOC_CSV},
    {"text/tab-separated", NX_DOC_TSV},
    {"application/jsonl", NX_DOC_JSONL},
    {"application/x-ndjson", NX_DOC_JSONL},
    {"application/json", NX_DOC_JSON},
    {"message/rfc822", NX_DOC_EMAIL},
    {"application/pdf", NX_DOC_PDF},
    {"text/troff", NX_DOC_ROFF},
};

static nx_doc_kind by_type(nx_str type)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (begins_word(type, types[i].type)) return types[i].kind;
    return NX_DOC_KINDS;
}

nx_str nx_media_type_of(nx_str kind)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (nx_str_eq(kind, nx_str_of(nx_doc_kind_name(types[i].kind))))
            return nx_str_of(types[i].type);
    return (nx_str){"", 0};
}

nx_doc_kind nx_sniff(nx_str name, nx_str type, nx_str bytes)
{
    nx_doc_kind kind = by_bytes(bytes);

    /* A script's ending says the same as its first line; a page's first line more than its ending. */
    if (kind == NX_DOC_KINDS && nx_sniff_foreign(bytes)) return NX_DOC_KINDS;
    if (kind == NX_DOC_KINDS) kind = by_name(name, bytes);
    if (kind == NX_DOC_KINDS) kind = by_type(type);
    if (kind == NX_DOC_KINDS && is_roff(bytes)) kind = NX_DOC_ROFF;
    return kind == NX_DOC_KINDS ? NX_DOC_TEXT : kind;
}

bool nx_extract_hopeless(nx_str name)
{
    return among(
        " png jpg jpeg gif bmp ico webp tif tiff heic avif psd xcf mp3 mp4 m4a m4v mkv avi mov webm ogg opus "
        "flac wav aac wma o a so ko obj lib dll exe class pyc pyo wasm jar war deb rpm iso img bin dat db "
        "sqlite gguf safetensors pt pth onnx npy npz parquet zip tar tgz bz2 xz zst 7z rar woff woff2 ttf otf "
        "eot swf mo gmo pak ",
        nx_name_end(name));
}
