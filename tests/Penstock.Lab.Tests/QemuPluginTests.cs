namespace Penstock.Lab.Tests;

/// <summary>Plugins are built once for each text of their source, with this machine's compiler.</summary>
public sealed class QemuPluginTests : IDisposable
{
    private const string Source = "int qemu_plugin_version = 7;\n";

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Build_SameSource_BuiltOnce_OtherSource_BuiltAnew()
    {
        string first = await BuildAsync(Source);
        DateTime built = File.GetLastWriteTimeUtc(first);

        Assert.Equal(first, await BuildAsync(Source));
        Assert.Equal(built, File.GetLastWriteTimeUtc(first));
        Assert.NotEqual(first, await BuildAsync(Source + "int other;\n"));
        Assert.All(Directory.GetFiles(_folder.File("cache/plugins")), file => Assert.EndsWith(".so", file, StringComparison.Ordinal));
    }

    [Fact]
    public async Task Build_SourceThatTheCompilerRefuses_ItsWordsAreTold()
    {
        LabException refused = await Assert.ThrowsAsync<LabException>(() => BuildAsync("int nonsense = ;\n"));

        Assert.Contains("penstock-test", refused.Message, StringComparison.Ordinal);
        Assert.Contains("error", refused.Message, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFiles(_folder.File("cache/plugins")));
    }

    [Fact]
    public async Task Build_WithoutCompiler_SaysWhatToInstall()
    {
        LabException refused = await Assert.ThrowsAsync<LabException>(() => BuildAsync(Source, _folder.File("nothing")));

        Assert.Contains("apt-get install gcc", refused.Message, StringComparison.Ordinal);
    }

    private Task<string> BuildAsync(string source, string? path = null)
    {
        var variables = new Dictionary<string, string> { ["PATH"] = path ?? "/usr/bin:/bin", ["HOME"] = _folder.Path };
        return QemuPlugin.BuildAsync(
            "penstock-test", source, new LabOptions { CacheFolder = _folder.File("cache") }, new LabEnvironment(variables.GetValueOrDefault, _folder.File("apt")), CancellationToken.None);
    }
}
