namespace Penstock.Lab.Tests;

internal sealed class TemporaryFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("penstock-lab-test-").FullName;

    public string this[string name] => System.IO.Path.Combine(Path, name);

    /// <summary>Writes a shell script that stands for a program.</summary>
    public string Program(string name, string script)
    {
        Directory.CreateDirectory(System.IO.Path.GetDirectoryName(this[name])!);
        ProgramFile.Write(this[name], "#!/bin/sh\n" + script + "\n");
        return this[name];
    }

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
