package device

import (
	"bytes"
	"encoding/json"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/pushtunnel/pushtunnel/cmd/pushtunnel/internal/schema"
)

// types finds the messages in google.protobuf.Any.
func types(s *schema.Schema) *dynamicpb.Types { return dynamicpb.NewTypes(s.Registry()) }

// toJSON is the JSON of a message, the same bytes each time.
func toJSON(m proto.Message) ([]byte, error) {
	data, err := protojson.Marshal(m)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer // protojson varies its spaces on purpose
	if err := json.Compact(&b, data); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
