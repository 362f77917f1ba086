// Package schema reads what services there are: from .proto files, from descriptor
// sets, or from what is linked into the program.
package schema

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fullstorydev/grpcurl"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// Files says where services are described.
type Files struct {
	Proto      []string `placeholder:"FILE" help:"A .proto file that describes the services. May be repeated."`
	ImportPath []string `short:"I" type:"path" placeholder:"DIR" help:"Where .proto files and what they import are. May be repeated."`
	Protoset   []string `type:"path" placeholder:"FILE" help:"A descriptor set, as protoc --include_imports --descriptor_set_out and buf build write it. May be repeated."`
}

// Given reports whether there are any.
func (f Files) Given() bool { return len(f.Proto)+len(f.Protoset) > 0 }

// Read reads the files.
func (f Files) Read() (*Schema, error) {
	switch {
	case len(f.Proto) > 0 && len(f.Protoset) > 0:
		return nil, errors.New("pushtunnel: --proto and --protoset do not go together")
	case len(f.Proto) > 0:
		return fromProtos(f.ImportPath, f.Proto)
	}
	return fromSets(f.Protoset)
}

func fromProtos(imports, protos []string) (*Schema, error) {
	// A file is known by its path below an import path; without one, the working
	// directory is that, as for protoc.
	names := slices.Clone(protos)
	for i, p := range protos {
		if len(imports) == 0 && filepath.IsAbs(p) {
			imports = append(imports, filepath.Dir(p))
		}
		for _, dir := range imports {
			if rel, err := filepath.Rel(dir, p); err == nil && filepath.IsLocal(rel) {
				names[i] = filepath.ToSlash(rel)
				break
			}
		}
	}
	source, err := grpcurl.DescriptorSourceFromProtoFiles(imports, names...)
	if err != nil {
		return nil, fmt.Errorf("pushtunnel: --proto: %w", err)
	}
	all, err := grpcurl.GetAllFiles(source)
	if err != nil {
		return nil, fmt.Errorf("pushtunnel: --proto: %w", err)
	}
	parsed, set := &descriptorpb.FileDescriptorSet{}, &descriptorpb.FileDescriptorSet{}
	for _, f := range all {
		parsed.File = append(parsed.File, f.AsFileDescriptorProto())
	}
	// Options that the parser has read as of its own are read again, as those that
	// the program knows.
	data, err := proto.Marshal(parsed)
	if err == nil {
		err = proto.Unmarshal(data, set)
	}
	if err != nil {
		return nil, fmt.Errorf("pushtunnel: --proto: %w", err)
	}
	return FromSet(set)
}

func fromSets(paths []string) (*Schema, error) {
	set := &descriptorpb.FileDescriptorSet{}
	seen := make(map[string]bool)
	for _, p := range paths {
		data, err := os.ReadFile(p)
		if err != nil {
			return nil, fmt.Errorf("pushtunnel: --protoset: %w", err)
		}
		one := &descriptorpb.FileDescriptorSet{}
		if err := proto.Unmarshal(data, one); err != nil {
			return nil, fmt.Errorf("pushtunnel: --protoset: %s is no descriptor set: %w", p, err)
		}
		for _, f := range one.GetFile() {
			if !seen[f.GetName()] {
				seen[f.GetName()] = true
				set.File = append(set.File, f)
			}
		}
	}
	return FromSet(set)
}

// Schema is the services that are known. It does not change.
type Schema struct {
	set      *descriptorpb.FileDescriptorSet
	files    *protoregistry.Files
	services []protoreflect.ServiceDescriptor
}

// Link makes the files known to the whole program, as if they were linked in. Those
// that are already are left as they are.
func (s *Schema) Link() error {
	for _, f := range s.set.GetFile() {
		if _, err := protoregistry.GlobalFiles.FindFileByPath(f.GetName()); err == nil {
			continue
		}
		d, err := s.files.FindFileByPath(f.GetName())
		if err == nil {
			err = protoregistry.GlobalFiles.RegisterFile(d)
		}
		if err != nil {
			return fmt.Errorf("pushtunnel: %s: %w", f.GetName(), err)
		}
	}
	return nil
}

// FromSet returns the schema of a descriptor set, which must have all imports.
func FromSet(set *descriptorpb.FileDescriptorSet) (*Schema, error) {
	files, err := protodesc.NewFiles(set)
	if err != nil {
		return nil, fmt.Errorf("pushtunnel: the descriptor set: %w; does it have its imports?", err)
	}
	s := &Schema{set: set, files: files}
	for _, f := range set.GetFile() {
		d, err := files.FindFileByPath(f.GetName())
		if err != nil {
			return nil, err
		}
		for i := range d.Services().Len() {
			s.services = append(s.services, d.Services().Get(i))
		}
	}
	return s, nil
}

// FromFile returns the schema of a file that is linked in.
func FromFile(f protoreflect.FileDescriptor) (*Schema, error) {
	set := &descriptorpb.FileDescriptorSet{}
	seen := make(map[string]bool)
	var add func(protoreflect.FileDescriptor)
	add = func(f protoreflect.FileDescriptor) {
		if seen[f.Path()] {
			return
		}
		seen[f.Path()] = true
		for i := range f.Imports().Len() {
			add(f.Imports().Get(i).FileDescriptor)
		}
		set.File = append(set.File, protodesc.ToFileDescriptorProto(f))
	}
	add(f)
	return FromSet(set)
}

// Services returns the services.
func (s *Schema) Services() []protoreflect.ServiceDescriptor { return s.services }

// Source returns the schema as grpcurl wants it.
func (s *Schema) Source() (grpcurl.DescriptorSource, error) {
	return grpcurl.DescriptorSourceFromFileDescriptorSet(s.set)
}

// Method returns the method of a full name, "/package.Service/Method"; nil if it is not
// known.
func (s *Schema) Method(full string) protoreflect.MethodDescriptor {
	service, method, ok := strings.Cut(strings.TrimPrefix(full, "/"), "/")
	if !ok {
		return nil
	}
	d, err := s.files.FindDescriptorByName(protoreflect.FullName(service))
	if err != nil {
		return nil
	}
	sd, ok := d.(protoreflect.ServiceDescriptor)
	if !ok {
		return nil
	}
	return sd.Methods().ByName(protoreflect.Name(method))
}

// FindFileByPath returns a file of the schema, or one that is linked in: reflection
// asks for both.
func (s *Schema) FindFileByPath(path string) (protoreflect.FileDescriptor, error) {
	if f, err := s.files.FindFileByPath(path); err == nil {
		return f, nil
	}
	return protoregistry.GlobalFiles.FindFileByPath(path)
}

// FindDescriptorByName is FindFileByPath for a name.
func (s *Schema) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	if d, err := s.files.FindDescriptorByName(name); err == nil {
		return d, nil
	}
	return protoregistry.GlobalFiles.FindDescriptorByName(name)
}

// Registry returns the files of the schema.
func (s *Schema) Registry() *protoregistry.Files { return s.files }

// Set returns the schema as a descriptor set, which must not be changed.
func (s *Schema) Set() *descriptorpb.FileDescriptorSet { return s.set }
