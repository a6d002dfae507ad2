/* SPDX-License-Identifier: Apache-2.0 */
#include "suite.h"

#include "fixture.h"

int store_suite_run(const struct store_driver *driver)
{
    fixture_driver = driver;
    return suite_limits() + suite_budgets() + suite_values() + suite_records() + suite_jobs() +
           suite_messages();
}
