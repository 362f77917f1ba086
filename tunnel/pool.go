package tunnel

import "github.com/pushtunnel/pushtunnel/internal/bufpool"

const largeBuffer = bufpool.Large

var pool = bufpool.Pool
