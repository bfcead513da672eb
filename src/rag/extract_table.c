/* extract_table.c - which function reads which kind. */
#include "rag/extract_in.h"

const nx_extract_fn nx_extractors[NX_DOC_KINDS] = {
    [NX_DOC_TEXT] = nx_extract_text,   [NX_DOC_MARKDOWN] = nx_extract_markdown,
    [NX_DOC_CODE] = nx_extract_code,   [NX_DOC_CSV] = nx_extract_csv,
    [NX_DOC_TSV] = nx_extract_tsv,     [NX_DOC_JSON] = nx_extract_json,
    [NX_DOC_JSONL] = nx_extract_jsonl, [NX_DOC_ROFF] = nx_extract_roff,
    [NX_DOC_EMAIL] = nx_extract_email, [NX_DOC_HTML] = nx_extract_html,
    [NX_DOC_DOCX] = nx_extract_docx,   [NX_DOC_PPTX] = nx_extract_pptx,
    [NX_DOC_XLSX] = nx_extract_xlsx,   [NX_DOC_ODT] = nx_extract_odt,
    [NX_DOC_EPUB] = nx_extract_epub,   [NX_DOC_PDF] = nx_extract_pdf,
};
