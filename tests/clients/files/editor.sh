#!/bin/sh
sed -i s/colour:.*/colour:\ green/ "$1"
