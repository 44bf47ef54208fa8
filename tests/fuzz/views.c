// SPDX-License-Identifier: Apache-2.0
/* What the command line draws from an agent's answers: any JSON gives a picture, none a crash. */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "tools/drpc/picture.h"
#include "tools/drpc/rows.h"
#include "tools/drpc/words.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void emit(void *arg, enum drpc_color color, const char *text)
{
	(void)color;
	*(size_t *)arg += strlen(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct json_tokener *tokener = json_tokener_new();
	struct json_object *o = json_tokener_parse_ex(tokener, (const char *)data, (int)size);
	struct drpc_picture picture = {.hist = o, .container = o, .max_rows = 16};
	struct drpc_table *table;
	struct drpc_term term;
	size_t written = 0;

	json_tokener_free(tokener);
	drpc_term_init(&term, DRPC_COLOR_NEVER);
	term.width = picture.width = size > 0 ? data[size - 1] : 0;
	drpc_picture_emit(&picture, &term, emit, &written);
	drpc_words_decision(o, &term, emit, &written);
	if (drpc_rows_new(o, DRPC_SORT_P99, &table) == 0) {
		drpc_table_emit(table, &term, term.width, 0, emit, &written);
		drpc_table_free(&table);
	}
	if (json_object_is_type(o, json_type_array))
		drpc_rows_actions(o, term.width, 10, &term, emit, &written);
	json_object_put(o);
	return 0;
}
