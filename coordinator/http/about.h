/* SPDX-License-Identifier: Apache-2.0 */
/* about.h - the calls that say what is there and how it does: schema, openapi.json, stats, metrics, health.
 *
 * Handlers (request.h). Server thread. */
#ifndef SHEAF_ABOUT_H
#define SHEAF_ABOUT_H

#include "request.h"

void about_schema(struct request *request);
void about_openapi(struct request *request);
void about_stats(struct request *request);   /* metrics_json (metrics_report.h), and what the server itself counts */
void about_metrics(struct request *request); /* the same as Prometheus reads it */
void about_health(struct request *request);  /* 200: the process lives */
void about_ready(
    struct request *request); /* 200: the shard of every database serves; else 503 with the first that does not */

#endif
