package mapping

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	javapb "github.com/pushtunnel/pushtunnel/proto/pushtunnel/java/v1"
)

// compiler makes the plan of one service.
type compiler struct {
	messages map[protoreflect.FullName]*message
	enums    map[protoreflect.FullName]*enum
	errs     []error
}

// Compile makes the Java form of a service. The error has all that is wrong with
// it: where, and what to do.
func Compile(sd protoreflect.ServiceDescriptor) (*Service, error) {
	c := &compiler{messages: make(map[protoreflect.FullName]*message), enums: make(map[protoreflect.FullName]*enum)}
	form := optionsOf[*javapb.ServiceForm](sd.Options(), javapb.E_Service)
	s := &Service{Name: string(sd.FullName()), JavaName: form.GetName()}
	if s.JavaName == "" {
		s.JavaName = qualify(sd, string(sd.Name()))
	}
	names := make(map[string]string)
	for i := range sd.Methods().Len() {
		md := sd.Methods().Get(i)
		if md.IsStreamingClient() || md.IsStreamingServer() {
			s.Streams = append(s.Streams, string(md.Name()))
			continue
		}
		m := c.method(s, md)
		lower := strings.ToLower(m.JavaMethod)
		if other, ok := names[lower]; ok {
			c.fail(md, "it is %s in Java, and so is %s: Java peers do not tell methods apart by case or parameters; set option (pushtunnel.java.v1.method).name", m.JavaMethod, other)
		}
		names[lower] = string(md.Name())
		s.Methods = append(s.Methods, m)
	}
	return s, errors.Join(c.errs...)
}

// fail notes what is wrong with a part of the .proto file.
func (c *compiler) fail(d protoreflect.Descriptor, format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf("%s: %s: %s", d.ParentFile().Path(), d.FullName(), fmt.Sprintf(format, args...)))
}

// optionsOf returns our option among those of a descriptor; its zero value if it
// is not set.
func optionsOf[T proto.Message](opts proto.Message, ext protoreflect.ExtensionType) (form T) {
	if opts == nil || !proto.HasExtension(opts, ext) {
		return form
	}
	if f, ok := proto.GetExtension(opts, ext).(T); ok {
		form = f
	}
	return form
}

// qualify puts the package before a name.
func qualify(d protoreflect.Descriptor, name string) string {
	pkg := string(d.ParentFile().Package())
	if opts, ok := d.ParentFile().Options().(*descriptorpb.FileOptions); ok && opts.GetJavaPackage() != "" {
		pkg = opts.GetJavaPackage()
	}
	if pkg == "" {
		return name
	}
	return pkg + "." + name
}

// className is the class of a message or enum, unless an option says otherwise.
func className(d protoreflect.Descriptor) string {
	name := string(d.Name())
	for p := d.Parent(); p != nil; p = p.Parent() {
		outer, ok := p.(protoreflect.MessageDescriptor)
		if !ok {
			break
		}
		name = string(outer.Name()) + "$" + name
	}
	return qualify(d, name)
}

func (c *compiler) method(s *Service, md protoreflect.MethodDescriptor) *Method {
	form := optionsOf[*javapb.MethodForm](md.Options(), javapb.E_Method)
	m := &Method{
		FullMethod:  fmt.Sprintf("/%s/%s", s.Name, md.Name()),
		JavaService: s.JavaName,
		JavaMethod:  form.GetName(),
		OneWay:      form.GetOneWay(),
		zeroNull:    form.GetNullResult() == javapb.MethodForm_ZERO,
	}
	if m.JavaMethod == "" {
		name := string(md.Name())
		m.JavaMethod = strings.ToLower(name[:1]) + name[1:]
	}
	c.methodRequest(m, md, form.GetRequest())
	c.methodResponse(m, md, form.GetResponse())
	if m.OneWay && !m.Void {
		c.fail(md, "one_way is for void methods: return a message without fields, or set response: VOID")
	}
	return m
}

func (c *compiler) methodRequest(m *Method, md protoreflect.MethodDescriptor, r javapb.MethodForm_Request) {
	m.request = c.message(md.Input())
	if r == javapb.MethodForm_OBJECT {
		m.object = true
		c.needFields(md, m.request)
		return
	}
	if m.request.shape != javapb.MessageForm_OBJECT {
		c.fail(md, "the fields of %s are the parameters, but its shape is not OBJECT: set request: OBJECT, or use another message", md.Input().FullName())
	}
	m.params = slices.Clone(m.request.fields)
	slices.SortFunc(m.params, func(a, b *field) int { return int(a.number) - int(b.number) })
	const most = 255
	if len(m.params) > most {
		c.fail(md, "%d parameters; Java has %d at most", len(m.params), most)
	}
}

func (c *compiler) methodResponse(m *Method, md protoreflect.MethodDescriptor, r javapb.MethodForm_Response) {
	out := md.Output()
	if r == javapb.MethodForm_BY_MESSAGE {
		r = javapb.MethodForm_RESULT
		if out.Fields().Len() == 0 {
			r = javapb.MethodForm_VOID
		} else if shapeOf(out) == javapb.MessageForm_VALUE {
			r = javapb.MethodForm_VALUE
		}
	}
	switch r {
	case javapb.MethodForm_VOID:
		m.Void = true
		return
	case javapb.MethodForm_VALUE:
		m.response = c.message(out)
		if len(m.response.fields) != 1 {
			c.fail(md, "response: VALUE needs a response message with one field; %s has %d", out.FullName(), len(m.response.fields))
			return
		}
		m.result = m.response.fields[0]
		m.StringResult = m.result.container == single && m.result.kind == kindString
		m.AnyResult = m.result.container == single && m.result.kind.dynamic()
	default:
		m.response = c.message(out)
		m.AnyResult = m.response.shape == javapb.MessageForm_ANY_OF
		c.needFields(md, m.response)
	}
}

// needFields notes a message that has no fields where Java needs an object: Java
// can't encode one without.
func (c *compiler) needFields(d protoreflect.Descriptor, m *message) {
	if len(m.fields) == 0 {
		c.fail(d, "%s has no fields, and Java cannot send an object without: add one", m.name)
	}
}

// wrappers are protobuf's messages around one value.
var wrappers = map[protoreflect.FullName]bool{
	"google.protobuf.DoubleValue": true, "google.protobuf.FloatValue": true, "google.protobuf.Int64Value": true,
	"google.protobuf.UInt64Value": true, "google.protobuf.Int32Value": true, "google.protobuf.UInt32Value": true,
	"google.protobuf.BoolValue": true, "google.protobuf.StringValue": true, "google.protobuf.BytesValue": true,
}

const (
	timestampName protoreflect.FullName = "google.protobuf.Timestamp"
	valueName     protoreflect.FullName = "pushtunnel.java.v1.Value"
)

func shapeOf(md protoreflect.MessageDescriptor) javapb.MessageForm_Shape {
	if wrappers[md.FullName()] {
		return javapb.MessageForm_VALUE
	}
	return optionsOf[*javapb.MessageForm](md.Options(), javapb.E_Message).GetShape()
}

// message makes the plan of a message, once.
func (c *compiler) message(md protoreflect.MessageDescriptor) *message {
	if m := c.messages[md.FullName()]; m != nil {
		return m
	}
	form := optionsOf[*javapb.MessageForm](md.Options(), javapb.E_Message)
	m := &message{
		name: string(md.FullName()), class: form.GetClass(), shape: shapeOf(md),
		proto: make(map[protowire.Number]*field), java: make(map[protowire.Number]*field),
	}
	if m.class == "" {
		m.class = className(md)
	}
	c.messages[md.FullName()] = m // a message may be in itself
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		f := c.field(fd, m)
		if other := m.java[f.java]; other != nil {
			c.fail(fd, "its number in Java is %d, as that of %s: set option (pushtunnel.java.v1.field).number", f.java, other.name)
		}
		m.fields = append(m.fields, f)
		m.proto[f.number], m.java[f.java] = f, f
	}
	slices.SortFunc(m.fields, func(a, b *field) int { return int(a.java) - int(b.java) })
	for i, f := range m.fields {
		f.place = i
	}
	c.checkShape(md, m)
	return m
}

func (c *compiler) checkShape(md protoreflect.MessageDescriptor, m *message) {
	switch m.shape {
	case javapb.MessageForm_VALUE:
		if len(m.fields) != 1 {
			c.fail(md, "a message of shape VALUE has one field; this has %d", len(m.fields))
		}
	case javapb.MessageForm_ANY_OF:
		one := md.Oneofs().Len() == 1 && !md.Oneofs().Get(0).IsSynthetic() && md.Oneofs().Get(0).Fields().Len() == md.Fields().Len()
		if !one {
			c.fail(md, "a message of shape ANY_OF has one oneof, and all its fields are in it")
			return
		}
		seen := make(map[string]string)
		for _, f := range m.fields {
			key := memberKey(f)
			if other, ok := seen[key]; ok {
				c.fail(md, "%s and %s are the same type in Java (%s): nobody could tell which was meant; take one out", other, f.name, key)
			}
			seen[key] = f.name
		}
	default:
	}
}

// memberKey tells the members of a message of shape ANY_OF apart.
func memberKey(f *field) string {
	switch {
	case f.kind == kindObject && f.msg != nil:
		return f.msg.class
	case f.kind == kindEnum && f.enum != nil:
		return f.enum.class
	case f.kind == kindWrapped && f.msg != nil && len(f.msg.fields) == 1:
		return [...]string{"value", "collection", "collection", "array", "map"}[f.msg.fields[0].container]
	case f.kind == kindValue, f.kind == kindAnyOf:
		return "anything else"
	}
	return fmt.Sprintf("type %d", ids[f.kind])
}
