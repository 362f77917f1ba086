package mapping

import (
	"math/big"

	"google.golang.org/protobuf/reflect/protoreflect"
)

type protoreflectFullName = protoreflect.FullName

func bigInt(n int64) *big.Int { return big.NewInt(n) }
