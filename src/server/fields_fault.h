/* fields_fault.h - between the walk of fields.c and the words of fields_fault.c. */
#ifndef NX_SERVER_FIELDS_FAULT_H
#define NX_SERVER_FIELDS_FAULT_H

#include "server/fields.h"

typedef struct nx_finder {
    const nx_field_limits *limits; /* may be NULL */
} nx_finder;

/* Where the walk is, and after a fault what is wrong there. Small: it is copied for each alternative
 * of NX_FIELD_ONE_OF. */
typedef struct nx_finding {
    nx_fault_kind   kind;
    const nx_field *field;
    const nx_json  *found; /* NULL: nothing is there, or `name` */
    nx_json         name;  /* a string: a member's name is what is wrong */
    bool            needs; /* field->needs isn't true */
    int             n_steps;
    nx_fault_step   steps[NX_FAULT_STEPS_MAX];
} nx_finding;

/* Put it into words. */
void nx_finding_tell(const nx_finder *w, const nx_finding *at, nx_fault *fault);

/* Path and text of a fault whose kind and steps are there; message follows the path. */
void nx_fault_say(nx_fault *fault, const char *message);

size_t nx_count_chars(nx_str s); /* of valid UTF-8 */

#endif
