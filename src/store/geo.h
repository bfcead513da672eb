/* geo.h - places on the earth, in degrees. Any thread. */
#ifndef NX_STORE_GEO_H
#define NX_STORE_GEO_H

#include "store/filter.h"

/* A place: an object with the numbers lon and lat. */
bool nx_geo_read(nx_geo_point *out, nx_value v);

/* By haversines, on a sphere of the earth's mean radius. */
double nx_geo_metres(nx_geo_point a, nx_geo_point b);

/* The box may cross the 180th meridian: then its left edge has the greater longitude. */
bool nx_geo_in_box(nx_geo_point p, nx_geo_point top_left, nx_geo_point bottom_right);

/* Inside the first ring, and in none of the others, on a plane of longitude and latitude. */
bool nx_geo_in_rings(nx_geo_point p, const nx_geo_ring *rings, size_t n);

#endif
