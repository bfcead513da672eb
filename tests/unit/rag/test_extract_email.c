/* test_extract_email.c - mails: headers and texts in any coding; what is attached is named; damage does no harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "extract_rig.h"

static void a_plain_mail_has_its_header_and_its_text(void **state)
{
    nx_doc doc;

    (void)state;
    static const char m[] =
        "From mbox Mon\nReceived: x\nFrom: Ann <a@example.org>\r\nTo: Bob,\r\n\tEve\r\n"
        "Subject: Lunch\r\n\r\nAt one?\r\nOr two.\r\n\r\n- soup\r\n- bread\r\n";
    assert_string_equal(rig_parts("a.eml", m, sizeof m - 1, &doc),
                        "P From: Ann <a@example.org>\nTo: Bob, Eve\nSubject: Lunch|P At one?\nOr "
                        "two.|I - soup|I - bread");
    assert_int_equal(doc.kind, NX_DOC_EMAIL);
    assert_int_equal(doc.origin, NX_ORIGIN_TEXT);
    assert_string_equal(doc.title.data, "Lunch");
    nx_doc_free(&doc);
}

/* RFC 2047's own examples, section 8, and characters cut between words. */
static void encoded_words_are_read(void **state)
{
    (void)state;
    assert_string_equal(
        RIG_PARTS("a.eml", "From: =?US-ASCII?Q?Keith_Moore?= <moore@cs.utk.edu>\n"
                           "To: =?ISO-8859-1?Q?Keld_J=F8rn_Simonsen?= <keld@dkuug.dk>\n"
                           "Cc: =?ISO-8859-1?Q?Andr=E9?= Pirard <PIRARD@vm1.ulg.ac.be>\n"
                           "Subject: =?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?=\n"
                           "    =?ISO-8859-2?B?dSB1bmRlcnN0YW5kIHRoZSBleGFtcGxlLg==?=\n\n"),
        "P From: Keith Moore <moore@cs.utk.edu>\nTo: Keld J\xC3\xB8rn Simonsen <keld@dkuug.dk>\n"
        "Cc: Andr\xC3\xA9 Pirard <PIRARD@vm1.ulg.ac.be>\nSubject: If you can read this you "
        "understand the example.");
    assert_string_equal(RIG_PARTS("a.eml", "Subject: a =?utf-8?Q?=C3?= =?UTF-8?q?=A9_b?= c\n\n"),
                        "P Subject: a \xC3\xA9 b c");
    assert_string_equal(RIG_PARTS("a.eml", "Subject: =?utf-8?Q?open =?x?z?a?= 1=?2\n\n"),
                        "P Subject: =?utf-8?Q?open =?x?z?a?= 1=?2");
}

static void texts_come_in_codings_and_charsets(void **state)
{
    (void)state;
    assert_string_equal(RIG_PARTS("a.eml", "Content-Type: text/plain; charset=\"iso-8859-15\"\n"
                                           "Content-Transfer-Encoding: Quoted-Printable\n\n"
                                           "3 =A4 for caf=e9, a line is=\n broken =3D 100%=\n"),
                        "P 3 \xE2\x82\xAC for caf\xC3\xA9, a line is broken = 100%");
    assert_string_equal(RIG_PARTS("a.eml", "Content-Type: text/plain; charset=koi8-r\n"
                                           "Content-Transfer-Encoding: base64\n\n8NLJ1\r\n8XU\n"),
                        "P \xD0\x9F\xD1\x80\xD0\xB8\xD0\xB2\xD0\xB5\xD1\x82");
    assert_string_equal(RIG_PARTS("a.eml", "Subject: x\n\ncaf\xE9"), "P Subject: x|P caf\xC3\xA9");
    assert_string_equal(RIG_PARTS("a.eml", "Content-Type: text/html\n\n<h1>Hi</h1><p>there"),
                        "H1 Hi|P there");
}

static void of_versions_one_is_read_and_attachments_are_named(void **state)
{
    nx_doc            doc;
    static const char m[] =
        "Subject: x\nContent-Type: multipart/mixed; boundary=\"a b\"\n\nnobody sees this\n--a b\n"
        "Content-Type: multipart/alternative; boundary=in\n\n--in\nContent-Type: text/html\n\n<p>page\n--in\n"
        "\nplain\n--in--\n--a b\nContent-Type: message/rfc822\n\nFrom: Eve\n\ninner\n--a b\n"
        "Content-Type: application/pdf\nContent-Disposition: attachment; filename=\"a\nb.pdf\"\n\nJVBERi0=\n"
        "--a b--\nnor this\n";

    (void)state;
    assert_string_equal(rig_parts("a.eml", m, sizeof m - 1, &doc),
                        "P Subject: x|P plain|P From: Eve|P inner");
    assert_non_null(strstr(doc.warnings.data, "was not read\n"));
    assert_ptr_equal(strchr(doc.warnings.data, '\n') + 1, doc.warnings.data + doc.warnings.len);
    nx_doc_free(&doc);
}

static void mails_in_mails_have_an_end(void **state)
{
    enum { N = 100000 };
    static const char level[] = "Content-Type: message/rfc822\n\n";
    size_t            n = sizeof level - 1;
    char             *deep = malloc(N * n);
    nx_doc            doc;

    (void)state;
    assert_non_null(deep);
    for (size_t i = 0; i < N; i++) memcpy(deep + i * n, level, n);
    assert_string_equal(rig_parts("a.eml", deep, N * n, &doc), "");
    assert_non_null(strstr(doc.warnings.data, "were not read"));
    nx_doc_free(&doc);
    free(deep);
    assert_string_equal(RIG_PARTS("a.eml", ""), "");
    assert_string_equal(RIG_PARTS("a.eml", "no header at all"), "P no header at all");
    assert_string_equal(RIG_PARTS("a.eml", "Content-Type: multipart/mixed; boundary=x\n\nopen"),
                        "P open");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_mail_has_its_header_and_its_text),
        cmocka_unit_test(encoded_words_are_read),
        cmocka_unit_test(texts_come_in_codings_and_charsets),
        cmocka_unit_test(of_versions_one_is_read_and_attachments_are_named),
        cmocka_unit_test(mails_in_mails_have_an_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
