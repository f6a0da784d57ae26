using System.Text;

namespace Penstock.Cli;

/// <summary>A private folder with a path short enough for sockets, gone after use.</summary>
internal sealed class TemporaryFolder : IDisposable
{
    private const string Variable = "TMPDIR";
    private const string Common = "/tmp";

    /// <summary>The longest path that a socket can have, in bytes: <c>sun_path</c> without its NUL.</summary>
    private const int SocketPath = 107;

    /// <summary>What is added to the outer folder's path: <c>/penstock-12345678/</c> and a name.</summary>
    private const int Added = 50;

    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;

    /// <summary>Makes a folder where <c>TMPDIR</c> says, or in <c>/tmp</c> when that is not there or too long.</summary>
    /// <exception cref="IOException">It cannot be made there.</exception>
    public TemporaryFolder()
    {
        string outer = Outer(Environment.GetEnvironmentVariable(Variable));

        // No name that somebody else could have guessed and made before.
        string path = System.IO.Path.Combine(outer, $"penstock-{System.IO.Path.GetRandomFileName()[..8]}");
        try
        {
            Path = Directory.CreateDirectory(path, OwnerOnly).FullName;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new IOException($"no folder for sockets can be made in {outer}: {e.Message.TrimEnd('.')}; set {Variable} to a folder that can be written and whose path has at most {SocketPath - Added} bytes", e);
        }
    }

    public string Path { get; }

    public string File(string name) => System.IO.Path.Combine(Path, name);

    public void Dispose() => Directory.Delete(Path, recursive: true);

    private static string Outer(string? wanted) =>
        !string.IsNullOrEmpty(wanted) && Directory.Exists(wanted)
            && Encoding.UTF8.GetByteCount(System.IO.Path.GetFullPath(wanted)) <= SocketPath - Added
            ? System.IO.Path.GetFullPath(wanted)
            : Common;
}
