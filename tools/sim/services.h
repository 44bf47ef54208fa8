/* SPDX-License-Identifier: Apache-2.0 */
/* Applications of any number of services, to see what grows with it. */
#pragma once

#include <stdint.h>
#include <stdio.h>

#define SIM_SERVICES_LEAST 8
#define SIM_SERVICES_MOST  10000

/*
 * Writes an application file: four layers, each service calls two of the next one, every service of
 * the first layer has users of its own. Work per call is drawn from the seed, limits fit at
 * SIM_SERVICES_RPS requests a second for each service of the first layer.
 */
#define SIM_SERVICES_RPS 4.0
void sim_services_write(FILE *to, unsigned int services, uint64_t seed);
