namespace Penstock.Lab.Tests;

/// <summary>Shell scripts that stand for programs.</summary>
internal static class ShellPrograms
{
    /// <summary>Writes one.</summary>
    /// <returns>Its path.</returns>
    public static string Program(this TemporaryFolder folder, string name, string script)
    {
        string path = folder.File(name);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        ProgramFile.Write(path, "#!/bin/sh\n" + script + "\n");
        return path;
    }
}
