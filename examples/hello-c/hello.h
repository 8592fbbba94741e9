/* GitHub's REST API, as far as hello-c needs it. */
#ifndef HELLO_H
#define HELLO_H

#include "cofferdam.h"

/* Makes a request with the tenant's token, and reads the JSON that comes back. body may be NULL. */
cd_value github(cd_context *ctx, const char *method, const char *path, cd_value body);

/* Adds a label to an issue, and gives {"labels": [all of the issue's]}. */
cd_value add_label(cd_context *ctx, const char *repo, int64_t number, const char *label);

#endif
