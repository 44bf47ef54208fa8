// SPDX-License-Identifier: Apache-2.0
#include "tools/load/options.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "tools/load/http.h"
#include "tools/load/units.h"

#define HEADERS_MAX    64
#define BODY_MAX_BYTES (64 * DRPC_MIB)
#define DURATION_S     10.0

const char load_options_help[] =
	"Usage: drpc-load [OPTION]... [WEIGHT=]URL...\n"
	"Sends HTTP/1.1 requests at given times, whatever the server does (open loop), and measures\n"
	"latency from the time a request was meant to be sent.\n"
	"\n"
	"URL is http://HOST[:PORT][/PATH] or unix:/SOCKET[:/PATH]; of several, each gets its WEIGHT.\n"
	"\n"
	"Load:\n"
	"  -r, --rate RATE          requests/s: 500, steps 200@30s,800@30s, ramps 200:800@60s\n"
	"      --ramp FROM:TO@TIME  the same as --rate FROM:TO@TIME; given several times they add up\n"
	"      --rate-file FILE     one rate a line, one line a second ('#' begins a comment)\n"
	"      --rate-scale X       multiply the rates of the file (default 1)\n"
	"      --repeat             begin again at the end of the rates, until --duration\n"
	"  -d, --duration TIME      default: what the rates say, 10s for a rate alone\n"
	"      --arrivals KIND      uniform (default) or poisson\n"
	"      --seed N             of arrivals and choices (default 1)\n"
	"\n"
	"Requests:\n"
	"  -X, --method METHOD      default GET\n"
	"      --path PATH          instead of the URL's\n"
	"  -H, --header 'NAME: V'   add a header; may be repeated\n"
	"      --body TEXT|@FILE    what to send as body\n"
	"      --mix FILE           user types, their requests and shares over time (docs/load.md)\n"
	"      --users SHARES       user types, query=60,buyer=25,admin=5; each with an id of its own,\n"
	"                           sent as X-Drpc-User; TYPE=URL is for that type alone (docs/load.md)\n"
	"      --close              a new connection for each request\n"
	"\n"
	"Client:\n"
	"  -c, --connections N      in all (default 64); requests wait for a free one\n"
	"  -t, --threads N          default 1\n"
	"      --timeout TIME       from the intended send time (default 5s)\n"
	"      --slo TIME           count answers that are later\n"
	"      --spin               poll instead of sleeping: a core a thread, no wake-up delay\n"
	"\n"
	"Output:\n"
	"      --per-second         a line for every second, as soon as its requests are settled\n"
	"      --json               one JSON object with total and seconds\n"
	"  -h, --help               this text\n"
	"      --version\n"
	"\n"
	"Exit status: 0 measured, 1 failed, 2 wrong usage. SIGINT ends the run and prints what was\n"
	"measured until then.\n";

enum {
	OPT_RAMP = 256,
	OPT_RATE_FILE,
	OPT_RATE_SCALE,
	OPT_REPEAT,
	OPT_ARRIVALS,
	OPT_SEED,
	OPT_PATH,
	OPT_BODY,
	OPT_MIX,
	OPT_USERS,
	OPT_CLOSE,
	OPT_TIMEOUT,
	OPT_SLO,
	OPT_SPIN,
	OPT_PER_SECOND,
	OPT_JSON,
	OPT_VERSION,
};

static const struct option long_options[] = {
	{"rate", required_argument, NULL, 'r'},
	{"ramp", required_argument, NULL, OPT_RAMP},
	{"rate-file", required_argument, NULL, OPT_RATE_FILE},
	{"rate-scale", required_argument, NULL, OPT_RATE_SCALE},
	{"repeat", no_argument, NULL, OPT_REPEAT},
	{"duration", required_argument, NULL, 'd'},
	{"arrivals", required_argument, NULL, OPT_ARRIVALS},
	{"seed", required_argument, NULL, OPT_SEED},
	{"method", required_argument, NULL, 'X'},
	{"path", required_argument, NULL, OPT_PATH},
	{"header", required_argument, NULL, 'H'},
	{"body", required_argument, NULL, OPT_BODY},
	{"mix", required_argument, NULL, OPT_MIX},
	{"users", required_argument, NULL, OPT_USERS},
	{"close", no_argument, NULL, OPT_CLOSE},
	{"connections", required_argument, NULL, 'c'},
	{"threads", required_argument, NULL, 't'},
	{"timeout", required_argument, NULL, OPT_TIMEOUT},
	{"slo", required_argument, NULL, OPT_SLO},
	{"spin", no_argument, NULL, OPT_SPIN},
	{"per-second", no_argument, NULL, OPT_PER_SECOND},
	{"json", no_argument, NULL, OPT_JSON},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, OPT_VERSION},
	{0},
};

/* What is put together once all options are known. */
struct draft {
	struct load_options *options;
	struct drpc_load_defaults defaults;
	const char *headers[HEADERS_MAX + 1];
	unsigned int header_count;
	const char *rate_file;
	const char *body;
	const char *mix;
	const char *users;
	char *body_file; /* owned */
	double rate_scale;
	uint64_t duration_ns;
	bool repeat;
};

static int complain(const char *flag, const char *value, const char *form)
{
	drpc_error("%s %s: expected %s", flag, value, form);
	return -EINVAL;
}

static int take_number(const char *flag, const char *value, uint64_t max, unsigned int *ret)
{
	char form[48];
	uint64_t n;

	snprintf(form, sizeof(form), "a number from 1 to %lu", (unsigned long)max);
	if (!drpc_parse_u64(value, 1, max, &n))
		return complain(flag, value, form);
	*ret = (unsigned int)n;
	return 0;
}

static int take_duration(const char *flag, const char *value, uint64_t *ret)
{
	uint64_t ns;

	if (!drpc_parse_duration_ns(value, &ns) || !ns)
		return complain(flag, value, DRPC_DURATION_FORM);
	*ret = ns;
	return 0;
}

static int take_header(struct draft *draft, const char *value)
{
	struct drpc_http_framing framing;

	drpc_http_framing_init(&framing);
	if (drpc_http_header(&framing, value, strlen(value)))
		return complain("--header", value, "'NAME: VALUE' on one line");
	if (draft->header_count == HEADERS_MAX)
		return complain("--header", value, "at most 64 headers");
	draft->headers[draft->header_count++] = value;
	return 0;
}

static int take_token(const char *flag, const char *value, const char *form)
{
	for (const char *c = value; *c; c++) {
		if ((unsigned char)*c <= ' ' || *c == 0x7f)
			return complain(flag, value, form);
	}
	return *value ? 0 : complain(flag, value, form);
}

static int take_arrivals(struct drpc_load_config *config, const char *value)
{
	if (!strcmp(value, "uniform"))
		config->arrivals = DRPC_ARRIVALS_UNIFORM;
	else if (!strcmp(value, "poisson"))
		config->arrivals = DRPC_ARRIVALS_POISSON;
	else
		return complain("--arrivals", value, "uniform or poisson");
	return 0;
}

static int take_load(struct draft *draft, int option, const char *value)
{
	struct load_options *options = draft->options;

	switch (option) {
	case 'r':
		return drpc_schedule_parse(&options->schedule, "--rate", value);
	case OPT_RAMP:
		return drpc_schedule_parse(&options->schedule, "--ramp", value);
	case OPT_RATE_FILE:
		draft->rate_file = value;
		return 0;
	case OPT_RATE_SCALE:
		if (!drpc_parse_number(value, 0, 1e9, &draft->rate_scale) || !draft->rate_scale)
			return complain("--rate-scale", value, "a number above 0");
		return 0;
	case OPT_REPEAT:
		draft->repeat = true;
		return 0;
	case 'd':
		return take_duration("--duration", value, &draft->duration_ns);
	case OPT_ARRIVALS:
		return take_arrivals(&options->config, value);
	case OPT_SEED:
		if (!drpc_parse_u64(value, 0, UINT64_MAX, &options->config.seed))
			return complain("--seed", value, "a number from 0");
		return 0;
	default:
		return -ENOENT;
	}
}

static int take_request(struct draft *draft, int option, const char *value)
{
	switch (option) {
	case 'X':
		draft->defaults.method = value;
		return take_token("--method", value, "one word (GET)");
	case OPT_PATH:
		draft->defaults.path = value;
		return value[0] == '/' ? take_token("--path", value, "/PATH without blanks")
				       : complain("--path", value, "/PATH without blanks");
	case 'H':
		return take_header(draft, value);
	case OPT_BODY:
		draft->body = value;
		return 0;
	case OPT_MIX:
		draft->mix = value;
		return 0;
	case OPT_USERS:
		draft->users = value;
		return 0;
	case OPT_CLOSE:
		draft->defaults.close = true;
		return 0;
	default:
		return -ENOENT;
	}
}

static int take_client(struct load_options *options, int option, const char *value)
{
	switch (option) {
	case 'c':
		return take_number("--connections", value, 1000000, &options->config.connections);
	case 't':
		return take_number("--threads", value, DRPC_LOAD_THREADS_MAX,
				   &options->config.threads);
	case OPT_TIMEOUT:
		return take_duration("--timeout", value, &options->config.timeout_ns);
	case OPT_SLO:
		return take_duration("--slo", value, &options->config.slo_ns);
	case OPT_SPIN:
		options->config.spin = true;
		return 0;
	case OPT_PER_SECOND:
		options->per_second = true;
		return 0;
	case OPT_JSON:
		options->json = true;
		return 0;
	case 'h':
		options->help = true;
		return 0;
	case OPT_VERSION:
		options->version = true;
		return 0;
	default:
		return -EINVAL;
	}
}

static int take_option(struct draft *draft, int option, const char *value)
{
	int err = take_load(draft, option, value);

	if (err == -ENOENT)
		err = take_request(draft, option, value);
	if (err == -ENOENT)
		err = take_client(draft->options, option, value);
	return err;
}

static int finish_schedule(struct draft *draft)
{
	struct drpc_schedule *schedule = &draft->options->schedule;
	int err;

	if (draft->rate_file && schedule->count) {
		drpc_error("--rate-file %s: expected either rates or a file, not both",
			   draft->rate_file);
		return -EINVAL;
	}
	if (draft->rate_file)
		err = drpc_schedule_load(schedule, draft->rate_file, draft->rate_scale);
	else
		err = schedule->count ? 0 : -ENOENT;
	if (err == -ENOENT && !draft->rate_file) {
		drpc_error("no rate: expected --rate " DRPC_RATE_FORM);
		return -EINVAL;
	}
	if (err)
		return err;
	err = drpc_schedule_finish(schedule, (double)draft->duration_ns / 1e9, DURATION_S,
				   draft->repeat);
	if (err == -EINVAL)
		drpc_error("the rates are 0 throughout: expected at least one above 0");
	return err;
}

static int finish_body(struct draft *draft)
{
	ssize_t len;

	if (!draft->body)
		return 0;
	if (draft->body[0] != '@') {
		draft->defaults.body = draft->body;
		draft->defaults.body_len = strlen(draft->body);
		return 0;
	}
	len = drpc_read_file_at(AT_FDCWD, draft->body + 1, BODY_MAX_BYTES, &draft->body_file);
	if (len < 0)
		return drpc_err((int)len, "--body %s: cannot read the file", draft->body);
	draft->defaults.body = draft->body_file;
	draft->defaults.body_len = (size_t)len;
	return 0;
}

/* "URL" or "WEIGHT=URL". */
static int take_url(struct draft *draft, unsigned int class, const char *text)
{
	const char *equals = strchr(text, '='), *scheme = strchr(text, ':');
	double weight = 1;

	if (equals && scheme && equals < scheme) {
		char number[32];

		snprintf(number, sizeof(number), "%.*s", (int)(equals - text), text);
		if (!drpc_parse_number(number, 1e-9, 1e9, &weight))
			return complain("URL", text, "WEIGHT=URL with a number above 0");
		text = equals + 1;
	}
	return drpc_workload_request(&draft->options->workload, "URL", class, text, weight,
				     &draft->defaults);
}

/* Whether "TYPE=URL" names a user type; *text is then the URL. */
static bool take_type(const struct drpc_workload *workload, const char **text,
		      unsigned int *ret_class)
{
	for (unsigned int i = 0; i < workload->class_count; i++) {
		const size_t len = strlen(workload->classes[i].name);

		if (!strncmp(*text, workload->classes[i].name, len) && (*text)[len] == '=') {
			*text += len + 1;
			*ret_class = i;
			return true;
		}
	}
	return false;
}

/* A URL with a type in front is for that type, one without for all of them. */
static int finish_users(struct draft *draft, char **urls)
{
	struct drpc_workload *workload = &draft->options->workload;
	int err = drpc_workload_users(workload, "--users", draft->users);

	for (; !err && *urls; urls++) {
		const char *text = *urls;
		unsigned int class;

		if (take_type(workload, &text, &class)) {
			err = take_url(draft, class, text);
			continue;
		}
		for (class = 0; !err && class < workload->class_count; class ++)
			err = take_url(draft, class, text);
	}
	for (unsigned int i = 0; !err && i < workload->class_count; i++) {
		if (workload->classes[i].weight_sum <= 0)
			err = complain("--users", workload->classes[i].name,
				       "a URL for each type: URL, or TYPE=URL");
	}
	return err;
}

static int finish_workload(struct draft *draft, char **urls)
{
	struct drpc_workload *workload = &draft->options->workload;
	unsigned int class = 0;
	int err = 0;

	if (!*urls && !draft->mix) {
		drpc_error("no target: expected " DRPC_TARGET_FORM);
		return -EINVAL;
	}
	if (draft->users)
		return draft->mix
			       ? complain("--users", draft->users, "either it or --mix, not both")
			       : finish_users(draft, urls);
	/* With user types the URL only says where their paths are. */
	if (draft->mix && *urls)
		err = urls[1] ? complain("--mix", draft->mix, "one URL at most beside it")
			      : drpc_workload_base(workload, "URL", *urls);
	else if (*urls)
		err = drpc_workload_class(workload, "all", 0, &class);
	if (!err && draft->mix)
		err = drpc_workload_mix(workload, draft->mix, &draft->defaults);
	for (; !err && *urls && !draft->mix; urls++)
		err = take_url(draft, class, *urls);
	return err;
}

static int parse_all(struct draft *draft, int argc, char **argv)
{
	struct load_options *options = draft->options;
	int option, err;

	optind = 1;
	while ((option = getopt_long(argc, argv, "r:d:X:H:c:t:h", long_options, NULL)) != -1) {
		err = take_option(draft, option, optarg);
		if (err)
			return err;
	}
	if (options->help || options->version)
		return 0;
	err = finish_schedule(draft);
	if (!err)
		err = finish_body(draft);
	if (!err)
		err = finish_workload(draft, argv + optind);
	return err ? err : drpc_workload_resolve(&options->workload);
}

int load_options_parse(struct load_options *options, int argc, char **argv)
{
	struct draft draft = {.options = options, .rate_scale = 1};
	int err;

	*options = (struct load_options){0};
	options->config = (struct drpc_load_config){
		.workload = &options->workload,
		.schedule = &options->schedule,
		.seed = 1,
		.connections = 64,
		.threads = 1,
		.timeout_ns = 5 * DRPC_NSEC_PER_SEC,
	};
	draft.defaults.method = "GET";
	draft.defaults.headers = draft.headers;
	draft.defaults.body = "";
	err = parse_all(&draft, argc, argv);
	free(draft.body_file);
	return err;
}

void load_options_release(struct load_options *options)
{
	drpc_schedule_release(&options->schedule);
	drpc_workload_release(&options->workload);
}
