/*-------------------------------------------------------------------------
 *
 * control.c
 *		The test's side: faults by chance, settings, reset.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>

#include "bank.h"

static void
set_bool(json_object *conf, const char *name, bool *target)
{
	json_object *value;

	if (json_object_object_get_ex(conf, name, &value))
		*target = json_object_get_boolean(value);
}

/* A time in milliseconds is a number, or an object with min and max. */
static const char *
set_range(json_object *conf, const char *name, long *from, long *to)
{
	json_object *value;
	json_object *limit;

	if (!json_object_object_get_ex(conf, name, &value))
		return NULL;
	if (json_object_is_type(value, json_type_object))
	{
		long min = 0;
		long max;

		if (json_object_object_get_ex(value, "min", &limit))
			min = (long) json_object_get_int64(limit);
		max = min;
		if (json_object_object_get_ex(value, "max", &limit))
			max = (long) json_object_get_int64(limit);
		if (min < 0 || max < min)
			return "it needs 0 <= min <= max";
		*from = min;
		*to = max;
		return NULL;
	}
	if (!json_object_is_type(value, json_type_int) || json_object_get_int64(value) < 0)
		return "a time must be a number or an object";
	*from = *to = (long) json_object_get_int64(value);
	return NULL;
}

static const char *
set_delay(json_object *conf)
{
	return set_range(conf, "delay_ms", &settings.delay_min, &settings.delay_max);
}

static const char *
set_faults(json_object *conf)
{
	json_object *value;
	const char *wrong = faults_configure(conf);

	if (wrong == NULL && json_object_object_get_ex(conf, "seed", &value))
		faults_seed((uint64_t) json_object_get_int64(value));
	return wrong ? wrong : set_delay(conf);
}

/* "accepts": names of operations, as in the log */
static const char *
set_accepts(json_object *conf)
{
	json_object *value;

	if (!json_object_object_get_ex(conf, "accepts", &value))
		return NULL;
	if (!json_object_is_type(value, json_type_array))
		return "accepts must be an array of operations";
	settings.accepts = 0;
	for (size_t i = 0; i < json_object_array_length(value); i++)
	{
		const char *name = json_object_get_string(json_object_array_get_idx(value, i));
		int op = 0;

		while (op <= OP_REFUND && (name == NULL || strcmp(name, operation_names[op]) != 0))
			op++;
		if (op > OP_REFUND)
			return "accepts may name charge, authorize, capture, void and refund";
		settings.accepts |= 1u << op;
	}
	return NULL;
}

static const char *
set_settings(json_object *conf)
{
	json_object *value;
	const char *wrong = set_accepts(conf);

	set_bool(conf, "idempotency", &settings.idempotency);
	set_bool(conf, "lookup", &settings.lookup);
	set_bool(conf, "down", &settings.down);
	set_bool(conf, "drop", &settings.drop);
	set_bool(conf, "lookup_ignores_reference", &settings.lookup_ignores_reference);
	set_bool(conf, "lookup_amounts", &settings.lookup_amounts);
	set_bool(conf, "numeric_ids", &settings.numeric_ids);
	set_bool(conf, "over_refunds", &settings.over_refunds);
	set_bool(conf, "refunds_by_void", &settings.refunds_by_void);
	set_bool(conf, "unsettled", &settings.unsettled);
	if (json_object_object_get_ex(conf, "livemode", &value))
		settings.livemode = value == NULL                    ? NULL
							: json_object_get_boolean(value) ? "true"
															 : "false";
	if (json_object_object_get_ex(conf, "lookup_lag_ms", &value))
		settings.lookup_lag = json_object_get_int64(value);
	if (json_object_object_get_ex(conf, "key_lifetime", &value))
		settings.key_lifetime = (int64_t) (json_object_get_double(value) * 1000);
	if (json_object_object_get_ex(conf, "notifies", &value))
		snprintf(settings.notifies, sizeof(settings.notifies), "%s",
				 value != NULL ? json_object_get_string(value) : "");
	if (json_object_object_get_ex(conf, "disputes", &value))
		settings.disputes = json_object_get_double(value);
	if (wrong == NULL)
		wrong = set_range(conf, "accepted_ms", &settings.accepted_min, &settings.accepted_max);
	return wrong != NULL ? wrong : set_delay(conf);
}

/* What was accepted under this reference, or all of it, is done or has failed. */
static const char *
settle(json_object *conf)
{
	static List *const lists[] = {&captures, &refunds, &voids};
	json_object *to;
	json_object *reference;
	const char *which = NULL;
	bool found = false;
	bool done;

	if (!json_object_object_get_ex(conf, "to", &to) || json_object_get_string(to) == NULL)
		return "to is missing";
	done = strcmp(json_object_get_string(to), "succeeded") == 0;
	if (!done && strcmp(json_object_get_string(to), "failed") != 0)
		return "to must be succeeded or failed";
	if (json_object_object_get_ex(conf, "reference", &reference))
		which = json_object_get_string(reference);
	for (int l = 0; l < 3; l++)
		for (size_t i = 0; i < lists[l]->count; i++)
		{
			Step *s = lists[l]->items[i];

			if (s->status != RE_PENDING || s->resolve_at != 0 ||
				(which != NULL && (s->reference == NULL || strcmp(s->reference, which) != 0)))
				continue;
			step_end(s, done ? NULL : "failed_later");
			found = true;
		}
	for (size_t i = 0; i < charges.count; i++)
	{
		Charge *c = charges.items[i];

		if (c->status != CH_PENDING || c->resolve_at != 0 ||
			(which != NULL && strcmp(c->reference, which) != 0))
			continue;
		charge_end(c, done ? CH_APPROVED : CH_DECLINED);
		found = true;
	}
	return found ? NULL : "nothing was accepted under that reference, or it has ended";
}

void
control_handle(Request *req)
{
	json_object *conf = NULL;
	const char *wrong = NULL;

	if (strcmp(req->method, "POST") != 0)
	{
		answer_error(req, 405, "method_not_allowed", "only POST");
		return;
	}
	if (req->body.len > 0)
		conf = json_tokener_parse(req->body.data);
	if (strcmp(req->path, "/control/reset") == 0)
		state_reset();
	else if (!json_object_is_type(conf, json_type_object))
		wrong = "the body is not a JSON object";
	else if (strcmp(req->path, "/control/faults") == 0)
		wrong = set_faults(conf);
	else if (strcmp(req->path, "/control/settings") == 0)
		wrong = set_settings(conf);
	else if (strcmp(req->path, "/control/settle") == 0)
		wrong = settle(conf);
	else if (strcmp(req->path, "/control/dispute") == 0)
		wrong = disputes_control(conf);
	else if (strcmp(req->path, "/control/taken") == 0)
		wrong = notify_taken(conf);
	else
		wrong = "no such control";
	json_object_put(conf);
	if (wrong != NULL)
	{
		answer_error(req, 400, "invalid_request", wrong);
		return;
	}
	req->status = 200;
	req->answered = true;
	buf_puts(&req->out, "{\"status\":\"ok\"}");
}
