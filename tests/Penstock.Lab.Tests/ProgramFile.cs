using System.Diagnostics;

namespace Penstock.Lab.Tests;

/// <summary>
/// Programs that tests make and run. A child process writes them: were one open for writing here, a program that another test starts at this
/// moment would have it open too until it executes, and whoever executes a file that is open for writing gets ETXTBSY.
/// </summary>
internal static class ProgramFile
{
    public static void Write(string path, string text)
    {
        using Process shell = Process.Start(
            new ProcessStartInfo("/bin/sh", ["-c", "cat > \"$0\" && chmod 700 \"$0\"", path]) { RedirectStandardInput = true })!;
        shell.StandardInput.Write(text);
        shell.StandardInput.Close();
        shell.WaitForExit();
        Assert.Equal(0, shell.ExitCode);
    }
}
