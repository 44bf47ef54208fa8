// SPDX-License-Identifier: Apache-2.0
#include "agent/execute/journal_format.h"

#include <errno.h>
#include <json-c/json.h>
#include <string.h>

#include "lib/util.h"

#define CRC_DIGITS 8
#define JSON_DEPTH 4
#define JSON_FLAGS (JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)

static const struct {
	const char *name;
	uint32_t bit;
} what_names[] = {
	{"cpu", DRPC_LIMIT_CPU},
	{"memory", DRPC_LIMIT_MEMORY},
	{"files", DRPC_JOURNAL_FILES},
	{"engine", DRPC_JOURNAL_ENGINE},
};

/* The numbers of a record by their place, so that writing and reading cannot differ. */
static const struct {
	const char *name;
	size_t offset;
} limit_fields[] =
	{
		{"cpu_quota_usec", offsetof(struct drpc_limits, cpu_quota_usec)},
		{"cpu_period_usec", offsetof(struct drpc_limits, cpu_period_usec)},
		{"cpu_burst_usec", offsetof(struct drpc_limits, cpu_burst_usec)},
		{"mem_high_bytes", offsetof(struct drpc_limits, mem_high_bytes)},
		{"mem_max_bytes", offsetof(struct drpc_limits, mem_max_bytes)},
},
  engine_fields[] = {
	  {"NanoCpus", offsetof(struct drpc_runtime_limits, nano_cpus)},
	  {"CpuQuota", offsetof(struct drpc_runtime_limits, cpu_quota_usec)},
	  {"CpuPeriod", offsetof(struct drpc_runtime_limits, cpu_period_usec)},
	  {"Memory", offsetof(struct drpc_runtime_limits, memory_bytes)},
	  {"MemorySwap", offsetof(struct drpc_runtime_limits, memory_swap_bytes)},
	  {"MemoryReservation", offsetof(struct drpc_runtime_limits, memory_reservation_bytes)},
};

static void json_putp(struct json_object **o)
{
	json_object_put(*o);
}

static void tokener_freep(struct json_tokener **t)
{
	if (*t)
		json_tokener_free(*t);
}

#define _cleanup_json_	  _cleanup_(json_putp)
#define _cleanup_tokener_ _cleanup_(tokener_freep)

/* CRC-32C (Castagnoli), four bits at a time: lines are few and short. */
static uint32_t crc32c(const char *data, size_t len)
{
	static const uint32_t table[16] = {
		0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
		0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
		0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
	};
	uint32_t crc = ~0U;

	for (size_t i = 0; i < len; i++) {
		crc ^= (unsigned char)data[i];
		crc = table[crc & 15] ^ (crc >> 4);
		crc = table[crc & 15] ^ (crc >> 4);
	}
	return ~crc;
}

/* --- write ------------------------------------------------------------------------------------ */

static int finish_line(struct json_object *root, char line[DRPC_JOURNAL_LINE_MAX])
{
	const char *json;
	size_t len;
	int n;

	json = json_object_to_json_string_length(root, JSON_FLAGS, &len);
	if (!json)
		return -ENOMEM;
	n = snprintf(line, DRPC_JOURNAL_LINE_MAX, "%08x %s\n", crc32c(json, len), json);
	return n < DRPC_JOURNAL_LINE_MAX ? n : -ENOBUFS;
}

static struct json_object *limits_to_json(const struct drpc_limits *limits)
{
	struct json_object *o = json_object_new_object();

	for (size_t i = 0; o && i < DRPC_ARRAY_SIZE(limit_fields); i++) {
		uint64_t v;

		memcpy(&v, (const char *)limits + limit_fields[i].offset, sizeof(v));
		json_object_object_add(o, limit_fields[i].name,
				       v == DRPC_UNLIMITED ? json_object_new_string("max")
							   : json_object_new_uint64(v));
	}
	return o;
}

static struct json_object *engine_to_json(const struct drpc_runtime_limits *engine)
{
	struct json_object *o = json_object_new_object();

	for (size_t i = 0; o && i < DRPC_ARRAY_SIZE(engine_fields); i++) {
		int64_t v;

		memcpy(&v, (const char *)engine + engine_fields[i].offset, sizeof(v));
		json_object_object_add(o, engine_fields[i].name, json_object_new_int64(v));
	}
	return o;
}

static struct json_object *what_to_json(uint32_t what)
{
	struct json_object *a = json_object_new_array();

	for (size_t i = 0; a && i < DRPC_ARRAY_SIZE(what_names); i++) {
		if (what & what_names[i].bit)
			json_object_array_add(a, json_object_new_string(what_names[i].name));
	}
	return a;
}

int drpc_journal_format_open(const struct drpc_journal_record *record,
			     char line[DRPC_JOURNAL_LINE_MAX])
{
	_cleanup_json_ struct json_object *o = json_object_new_object();

	if (!o)
		return -ENOMEM;
	json_object_object_add(o, "op", json_object_new_string("open"));
	json_object_object_add(o, "id", json_object_new_string(record->id));
	json_object_object_add(o, "name", json_object_new_string(record->name));
	json_object_object_add(o, "cgroup", json_object_new_string(record->cgroup));
	json_object_object_add(o, "cgroup_id", json_object_new_uint64(record->cgroup_id));
	json_object_object_add(o, "cgroup_dev", json_object_new_uint64(record->cgroup_dev));
	json_object_object_add(o, "boot_id", json_object_new_string(record->boot_id));
	json_object_object_add(o, "what", what_to_json(record->what));
	json_object_object_add(o, "original", limits_to_json(&record->original));
	if (record->what & DRPC_JOURNAL_ENGINE)
		json_object_object_add(o, "engine", engine_to_json(&record->engine));
	json_object_object_add(o, "realtime_ns", json_object_new_uint64(record->realtime_ns));
	return finish_line(o, line);
}

int drpc_journal_format_close(const char *id, const char *cgroup, const char *reason,
			      char line[DRPC_JOURNAL_LINE_MAX])
{
	_cleanup_json_ struct json_object *o = json_object_new_object();

	if (!o)
		return -ENOMEM;
	json_object_object_add(o, "op", json_object_new_string("close"));
	json_object_object_add(o, "id", json_object_new_string(id));
	json_object_object_add(o, "cgroup", json_object_new_string(cgroup));
	json_object_object_add(o, "reason", json_object_new_string(reason));
	json_object_object_add(o, "realtime_ns", json_object_new_uint64(drpc_realtime_ns()));
	return finish_line(o, line);
}

int drpc_journal_format_scale(const struct drpc_journal_scale *scale,
			      char line[DRPC_JOURNAL_LINE_MAX])
{
	_cleanup_json_ struct json_object *o = json_object_new_object();
	struct json_object *stopped = json_object_new_array();

	if (!o || !stopped) {
		json_object_put(stopped);
		return -ENOMEM;
	}
	json_object_object_add(o, "op", json_object_new_string("scale"));
	json_object_object_add(o, "deployment", json_object_new_string(scale->deployment));
	json_object_object_add(o, "stopped", stopped);
	for (size_t i = 0; i < scale->stopped_count; i++) {
		struct json_object *c = json_object_new_object();

		json_object_object_add(c, "id", json_object_new_string(scale->stopped[i].id));
		json_object_object_add(c, "name", json_object_new_string(scale->stopped[i].name));
		json_object_array_add(stopped, c);
	}
	json_object_object_add(o, "realtime_ns", json_object_new_uint64(scale->realtime_ns));
	return finish_line(o, line);
}

int drpc_journal_format_unscale(const char *deployment, const char *reason,
				char line[DRPC_JOURNAL_LINE_MAX])
{
	_cleanup_json_ struct json_object *o = json_object_new_object();

	if (!o)
		return -ENOMEM;
	json_object_object_add(o, "op", json_object_new_string("unscale"));
	json_object_object_add(o, "deployment", json_object_new_string(deployment));
	json_object_object_add(o, "reason", json_object_new_string(reason));
	json_object_object_add(o, "realtime_ns", json_object_new_uint64(drpc_realtime_ns()));
	return finish_line(o, line);
}

/* --- read ------------------------------------------------------------------------------------- */

static bool take_string(struct json_object *o, const char *key, char *dst, size_t dst_size)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_string))
		return false;
	/* A NUL inside would cut it short without being noticed. */
	if ((size_t)json_object_get_string_len(v) != strlen(json_object_get_string(v)))
		return false;
	return drpc_strcpy(dst, dst_size, json_object_get_string(v));
}

static bool number_of(struct json_object *v, uint64_t *ret)
{
	if (json_object_is_type(v, json_type_string) &&
	    strcmp(json_object_get_string(v), "max") == 0) {
		*ret = DRPC_UNLIMITED;
		return true;
	}
	if (!json_object_is_type(v, json_type_int) ||
	    (json_object_get_int64(v) < 0 && json_object_get_uint64(v) == 0))
		return false;
	*ret = json_object_get_uint64(v);
	return true;
}

static bool take_number(struct json_object *o, const char *key, uint64_t *ret)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) && number_of(v, ret);
}

static bool take_limits(struct json_object *o, struct drpc_limits *ret)
{
	struct json_object *limits;

	if (!json_object_object_get_ex(o, "original", &limits))
		return false;
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(limit_fields); i++) {
		uint64_t v;

		if (!take_number(limits, limit_fields[i].name, &v))
			return false;
		memcpy((char *)ret + limit_fields[i].offset, &v, sizeof(v));
	}
	return true;
}

static bool take_engine(struct json_object *o, struct drpc_runtime_limits *ret)
{
	struct json_object *engine, *v;

	if (!json_object_object_get_ex(o, "engine", &engine))
		return false;
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(engine_fields); i++) {
		int64_t n;

		if (!json_object_object_get_ex(engine, engine_fields[i].name, &v) ||
		    !json_object_is_type(v, json_type_int))
			return false;
		n = json_object_get_int64(v);
		memcpy((char *)ret + engine_fields[i].offset, &n, sizeof(n));
	}
	return true;
}

static bool take_what(struct json_object *o, uint32_t *ret)
{
	struct json_object *a;

	if (!json_object_object_get_ex(o, "what", &a) || !json_object_is_type(a, json_type_array))
		return false;
	*ret = 0;
	for (size_t i = 0; i < json_object_array_length(a); i++) {
		const char *name = json_object_get_string(json_object_array_get_idx(a, i));
		size_t k = 0;

		while (k < DRPC_ARRAY_SIZE(what_names) &&
		       (!name || strcmp(name, what_names[k].name) != 0))
			k++;
		if (k == DRPC_ARRAY_SIZE(what_names))
			return false;
		*ret |= what_names[k].bit;
	}
	return true;
}

static bool take_record(struct json_object *o, struct drpc_journal_record *r)
{
	return take_string(o, "name", r->name, sizeof(r->name)) &&
	       take_number(o, "cgroup_id", &r->cgroup_id) &&
	       take_number(o, "cgroup_dev", &r->cgroup_dev) &&
	       take_string(o, "boot_id", r->boot_id, sizeof(r->boot_id)) &&
	       take_what(o, &r->what) && take_limits(o, &r->original) &&
	       (!(r->what & DRPC_JOURNAL_ENGINE) || take_engine(o, &r->engine)) &&
	       take_number(o, "realtime_ns", &r->realtime_ns);
}

static bool take_scale(struct json_object *o, struct drpc_journal_scale *ret)
{
	struct json_object *stopped;
	size_t n;

	if (!json_object_object_get_ex(o, "stopped", &stopped) ||
	    !json_object_is_type(stopped, json_type_array) ||
	    !take_number(o, "realtime_ns", &ret->realtime_ns))
		return false;
	n = json_object_array_length(stopped);
	if (n > DRPC_JOURNAL_STOPPED_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		struct json_object *c = json_object_array_get_idx(stopped, i);

		if (!json_object_is_type(c, json_type_object) ||
		    !take_string(c, "id", ret->stopped[i].id, sizeof(ret->stopped[i].id)) ||
		    !take_string(c, "name", ret->stopped[i].name, sizeof(ret->stopped[i].name)))
			return false;
	}
	ret->stopped_count = n;
	return true;
}

/* A line about replicas; false where it is damaged. */
static bool take_replicas(struct json_object *o, const char *op, struct drpc_journal_line *ret)
{
	ret->scale = true;
	ret->open = strcmp(op, "scale") == 0;
	return take_string(o, "deployment", ret->replicas.deployment,
			   sizeof(ret->replicas.deployment)) &&
	       (!ret->open || take_scale(o, &ret->replicas));
}

static bool take_limits_line(struct json_object *o, const char *op, struct drpc_journal_line *ret)
{
	if (!take_string(o, "id", ret->record.id, sizeof(ret->record.id)) ||
	    !take_string(o, "cgroup", ret->record.cgroup, sizeof(ret->record.cgroup)))
		return false;
	ret->open = strcmp(op, "open") == 0;
	return ret->open ? take_record(o, &ret->record) : strcmp(op, "close") == 0;
}

static bool crc_matches(const char *line, size_t len)
{
	char digits[CRC_DIGITS + 1];

	if (len < CRC_DIGITS + 3 || line[CRC_DIGITS] != ' ')
		return false;
	snprintf(digits, sizeof(digits), "%08x",
		 crc32c(line + CRC_DIGITS + 1, len - CRC_DIGITS - 1));
	return memcmp(digits, line, CRC_DIGITS) == 0;
}

int drpc_journal_parse_line(const char *line, size_t len, struct drpc_journal_line *ret)
{
	_cleanup_tokener_ struct json_tokener *tokener = NULL;
	_cleanup_json_ struct json_object *o = NULL;
	struct drpc_journal_line parsed = {0};
	size_t json_len;
	bool replicas;
	char op[8];

	if (len >= DRPC_JOURNAL_LINE_MAX || !crc_matches(line, len))
		return -EBADMSG;
	tokener = json_tokener_new_ex(JSON_DEPTH);
	if (!tokener)
		return -ENOMEM;
	json_len = len - CRC_DIGITS - 1;
	o = json_tokener_parse_ex(tokener, line + CRC_DIGITS + 1, (int)json_len);
	if (!o || json_tokener_get_parse_end(tokener) != json_len ||
	    !json_object_is_type(o, json_type_object) || !take_string(o, "op", op, sizeof(op)))
		return -EBADMSG;
	replicas = strcmp(op, "scale") == 0 || strcmp(op, "unscale") == 0;
	if (replicas ? !take_replicas(o, op, &parsed) : !take_limits_line(o, op, &parsed))
		return -EBADMSG;
	*ret = parsed;
	return 0;
}
