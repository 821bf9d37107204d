// What Go's crypto/x509 says of the chains in a folder: a line for each, its number and the verdict.
//
// Part of `conformance/verdicts`. Only the standard library is used.
package main

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Times differ in every run, and what Go tried first is long.
var detail = regexp.MustCompile(`: current time .*| \(possibly because of .*`)

func main() {
	cases, err := os.ReadDir(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for _, entry := range cases {
		verdict := "accepted"
		if err := verify(filepath.Join(os.Args[1], entry.Name())); err != nil {
			verdict = detail.ReplaceAllString(err.Error(), "")
			verdict = strings.TrimPrefix(verdict, "x509: ")
			verdict = strings.ReplaceAll(strings.ReplaceAll(verdict, "\n", " "), "|", "/")
		}
		fmt.Printf("%s\t%s\n", entry.Name(), verdict)
	}
}

func verify(folder string) error {
	sent, err := certificates(filepath.Join(folder, "sent.pem"))
	if err != nil {
		return err
	}
	trusted, err := certificates(filepath.Join(folder, "trusted.pem"))
	if err != nil {
		return err
	}
	name, err := os.ReadFile(filepath.Join(folder, "name"))
	if err != nil {
		return err
	}
	options := x509.VerifyOptions{
		DNSName:       string(name),
		Roots:         pool(trusted),
		Intermediates: pool(sent[1:]),
	}
	_, err = sent[0].Verify(options)
	return err
}

func pool(certificates []*x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, certificate := range certificates {
		pool.AddCert(certificate)
	}
	return pool
}

func certificates(file string) ([]*x509.Certificate, error) {
	rest, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var read []*x509.Certificate
	for len(bytes.TrimSpace(rest)) > 0 {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		read = append(read, certificate)
	}
	return read, nil
}
