/* Returns the days from 1970-01-01 to the first day of a year. */
static int64_t model_new_year(int64_t year) {
    const int64_t past = year - 1;
    return 365 * (year - 1970) + (past / 4 - 1969 / 4) - (past / 100 - 1969 / 100) + (past / 400 - 1969 / 400);
}

/* Returns the phase of a time in a cycle, from 0 to 1. The length 0 means the year. */
static double model_phase(int64_t time, int64_t length) {
    const int64_t day = INT64_C(86400000000);
    int64_t year, begin;
    if (length) return (double)(time % length) / (double)length;
    year = 1970 + time / day / 366;
    while (model_new_year(year) * day > time) year--;
    while (model_new_year(year + 1) * day <= time) year++;
    begin = model_new_year(year) * day;
    return (double)(time - begin) / (double)(model_new_year(year + 1) * day - begin);
}

/* Computes sine and cosine of the phase of each cycle at a time. */
static void model_calendar(int64_t time, float *found) {
    int i;
    for (i = 0; i < MODEL_CYCLES; i++) {
        const double angle = 6.283185307179586 * model_phase(time, model_cycles[i]);
        found[2 * i] = (float)sin(angle);
        found[2 * i + 1] = (float)cos(angle);
    }
}

