using System.Text;
using Penstock.Interop;

namespace Penstock.Cli.Serve;

/// <summary>Why a socket cannot be had at a path, in words for the person who chose it.</summary>
internal static class SocketPath
{
    /// <summary>Bytes that a Unix socket's address has room for, besides the NUL.</summary>
    private const int LongestBytes = 107;

    /// <exception cref="UsageException">No socket can have such a path.</exception>
    public static void Check(string path)
    {
        int bytes = Encoding.UTF8.GetByteCount(path);
        if (bytes == 0)
        {
            throw new UsageException("--socket is empty; give the path of the Unix socket to listen on");
        }

        if (bytes > LongestBytes)
        {
            throw new UsageException($"--socket '{path}' has {bytes} bytes and a Unix socket's path at most {LongestBytes}; choose a shorter one");
        }
    }

    public static string Explain(string path, SystemCallException refused)
    {
        string folder = Path.GetDirectoryName(Path.GetFullPath(path)) ?? "/";
        return refused.Errno switch
        {
            Errno.EADDRINUSE when Directory.Exists(path) => "a folder is there; choose another path",
            Errno.EADDRINUSE when FileFacts.IsSocket(path) => "another server listens there; stop it or choose another path",
            Errno.EADDRINUSE => "a file that is no socket is there; choose another path, or remove the file",
            Errno.ENOENT when !Directory.Exists(folder) => $"there is no folder '{folder}'; create it or choose another path",
            Errno.ENOTDIR => $"'{folder}' is no folder; choose another path",
            Errno.EACCES or Errno.EPERM or Errno.ENOENT => "this user may not create sockets there; choose a folder of your own",
            Errno.EROFS => "that file system is read-only; choose another path",
            _ => refused.Message,
        };
    }
}
