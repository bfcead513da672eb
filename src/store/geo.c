/* geo.c - distances and areas. */
#include "store/geo.h"

#include <math.h>

#define EARTH_RADIUS_METRES 6371008.8 /* the mean of the axes of GRS 80 */

static bool is_number(nx_value v)
{
    return v.n && v.p[0] >= NX_VALUE_INT && v.p[0] <= NX_VALUE_FLOAT;
}

bool nx_geo_read(nx_geo_point *out, nx_value v)
{
    nx_value lon = nx_value_member(v, NX_STR("lon")), lat = nx_value_member(v, NX_STR("lat"));

    if (!is_number(lon) || !is_number(lat)) return false;
    *out = (nx_geo_point){nx_value_float(lon), nx_value_float(lat)};
    return true;
}

double nx_geo_metres(nx_geo_point a, nx_geo_point b)
{
    double rad = acos(-1.0) / 180;
    double dlat = sin((b.lat - a.lat) * rad / 2), dlon = sin((b.lon - a.lon) * rad / 2);
    double h = dlat * dlat + cos(a.lat * rad) * cos(b.lat * rad) * dlon * dlon;

    return 2 * EARTH_RADIUS_METRES * asin(sqrt(h < 1 ? h : 1));
}

bool nx_geo_in_box(nx_geo_point p, nx_geo_point top_left, nx_geo_point bottom_right)
{
    if (!(p.lat <= top_left.lat && p.lat >= bottom_right.lat)) return false;
    if (top_left.lon > bottom_right.lon) return p.lon >= top_left.lon || p.lon <= bottom_right.lon;
    return p.lon >= top_left.lon && p.lon <= bottom_right.lon;
}

/* A ray to the east crosses the ring an odd number of times. */
static bool in_ring(nx_geo_point p, const nx_geo_ring *ring)
{
    bool inside = false;

    for (size_t i = 0, k = ring->n - 1; i < ring->n; k = i++) {
        nx_geo_point a = ring->points[i], b = ring->points[k];
        if ((a.lat > p.lat) != (b.lat > p.lat) &&
            p.lon < (b.lon - a.lon) * (p.lat - a.lat) / (b.lat - a.lat) + a.lon)
            inside = !inside;
    }
    return inside;
}

bool nx_geo_in_rings(nx_geo_point p, const nx_geo_ring *rings, size_t n)
{
    if (n == 0 || !in_ring(p, &rings[0])) return false;
    for (size_t i = 1; i < n; i++)
        if (in_ring(p, &rings[i])) return false;
    return true;
}
