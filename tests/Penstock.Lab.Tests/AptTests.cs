using Penstock.Lab.Debian;

namespace Penstock.Lab.Tests;

public sealed class AptTests
{
    [Fact]
    public void ParseList_OneLineForm_GivesUriSuitesAndKeyring()
    {
        var sources = AptSources.ParseList("""
            # deb http://commented.example/debian trixie main
            deb-src http://source.example/debian trixie main
            deb [arch=amd64 signed-by=/usr/share/keyrings/k.gpg] http://mirror.example/debian trixie main contrib # tail
            deb	http://other.example/x ./
            """).ToList();
        Assert.Equal(["http://mirror.example/debian", "http://other.example/x"], sources.Select(s => s.Uri));
        Assert.Equal("/usr/share/keyrings/k.gpg", sources[0].SignedBy);
        Assert.Equal(["main", "contrib"], sources[0].Components);
        Assert.Null(sources[1].SignedBy);
    }

    [Fact]
    public void ParseDeb822_Stanzas_LeavesOutDisabledAndSourceOnes()
    {
        var sources = AptSources.ParseDeb822("""
            # a comment
            Types: deb deb-src
            URIs: http://one.example/debian
              http://two.example/debian/
            Suites: trixie trixie-updates
            # in between
            Components: main
            Signed-By:
              /usr/share/keyrings/k.pgp

            Types: deb
            URIs: http://off.example/debian
            Suites: trixie
            Components: main
            Enabled: no

            types: deb-src
            URIs: http://src.example/debian
            Suites: trixie
            """).ToList();
        Assert.Equal(["http://one.example/debian", "http://two.example/debian/"], sources.Select(s => s.Uri));
        Assert.All(sources, s => Assert.Equal("/usr/share/keyrings/k.pgp", s.SignedBy));
        Assert.Equal(["trixie", "trixie-updates"], sources[0].Suites);
    }

    [Fact]
    public void ParseDeb822_KeyInTheStanza_IsNoPath()
    {
        var source = AptSources.ParseDeb822("Types: deb\nURIs: http://a.example/debian\nSuites: sid\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQIN\n").Single();
        Assert.Null(source.SignedBy);
    }

    [Fact]
    public void DebianArchive_AmongOthers_IsTheFullOne()
    {
        AptSource Of(string uri, string suite) => new(uri, [suite], ["main"], null);
        Assert.Equal("http://m.example/debian/", AptSources.DebianArchive(
            [Of("http://m.example/debian-security", "bookworm-security"), Of("http://d.example/node", "nodistro"), Of("http://m.example/debian/", "bookworm")])!.Uri);
        Assert.Equal("http://cache.example/remote-apt", AptSources.DebianArchive(
            [Of("http://d.example/node", "nodistro"), Of("http://cache.example/remote-apt", "trixie")])!.Uri);
        Assert.Null(AptSources.DebianArchive([Of("http://u.example/ubuntu", "noble")]));
    }

    [Fact]
    public void Read_BothFolders_InAptsOrder()
    {
        using var folder = new TemporaryFolder();
        Directory.CreateDirectory(folder.File("sources.list.d"));
        File.WriteAllText(folder.File("sources.list"), "deb http://first.example/debian trixie main\n");
        File.WriteAllText(folder.File("sources.list.d/b.sources"), "Types: deb\nURIs: http://third.example/debian\nSuites: trixie\n");
        File.WriteAllText(folder.File("sources.list.d/a.list"), "deb http://second.example/debian trixie main\n");
        File.WriteAllText(folder.File("sources.list.d/c.save"), "deb http://never.example/debian trixie main\n");
        Assert.Equal(["http://first.example/debian", "http://second.example/debian", "http://third.example/debian"], AptSources.Read(folder.Path).Select(s => s.Uri));
    }

    [Fact]
    public void ParseUris_AptsOutput_GivesNamesVersionsAndSizes()
    {
        var packages = AptPackage.ParseUris("""
            Reading package lists...
            'http://m.example/debian/pool/q_1%3a11.1.3%2bds-1_amd64.deb' qemu-system-x86_1%3a11.1.3+ds-1_amd64.deb 10377056 MD5Sum:00ff
            'http://m.example/debian/pool/evil' ../../evil_1_all.deb 3 MD5Sum:aa

            """);
        var package = Assert.Single(packages);
        Assert.Equal(("qemu-system-x86", "1:11.1.3+ds-1", 10377056L), (package.Name, package.Version, package.Size));
    }
}
