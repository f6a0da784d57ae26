using Penstock.Interop;
using Penstock.Specs.VfioUser;
using Penstock.Vfio;

namespace Penstock.VfioUser;

/// <content>VERSION.</content>
internal sealed partial class ClientConnection
{
    /// <summary>The longest VERSION reply that is taken.</summary>
    private const int LongestVersion = 4096;

    /// <summary>Negotiates on a connected socket.</summary>
    /// <param name="socket">The socket; from now on the connection's.</param>
    /// <param name="options">How the server is treated.</param>
    /// <param name="memory">What the server's messages reach now; null for nothing.</param>
    /// <param name="deadline">When this and what follows must be over; null for no such time.</param>
    /// <returns>The connection.</returns>
    /// <exception cref="VfioException">The server refused; EPROTO: it does not speak the protocol; ETIMEDOUT, ENOTCONN.</exception>
    public static ClientConnection Over(UnixSocket socket, VfioUserClientOptions options, Func<SoftwareDomain?> memory, OpenDeadline? deadline = null)
    {
        var connection = new ClientConnection(socket, options, memory, deadline);
        try
        {
            connection.Negotiate();
            return connection;
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }

    /// <summary>Says VERSION and keeps what the server answers.</summary>
    /// <exception cref="VfioException">As <see cref="Over"/>.</exception>
    internal void Negotiate()
    {
        Span<byte> request = stackalloc byte[512];
        var own = new PeerLimits
        {
            MaximumDescriptors = VfioUserLimits.MaximumDescriptors,
            MigrationPageSize = VfioUserLimits.DefaultPageSizes,
            WriteMultiple = true,
            TwinSocket = _options.TwinSocket,
            SparseMmapDescriptors = true,
        };
        int length = VersionMessage.Write(request, VfioUserLimits.Minor, own);
        Span<byte> answer = new byte[LongestVersion];
        Errno errno = Run(
            new ClientCall
            {
                Command = VfioUserCommand.Version,
                Head = request[..length],
                ReplyData = answer,
                WantedDescriptors = VfioUserLimits.MaximumDescriptors,
                IsVital = true,
            },
            out ClientReply reply);
        try
        {
            if (errno != Errno.None)
            {
                throw Refused(errno, VfioUserCommand.Version, reply);
            }

            TakeVersion(answer[..reply.Length], reply.Descriptors ?? []);
        }
        finally
        {
            Array.ForEach(reply.Descriptors ?? [], static d => d.Dispose());
        }
    }

    /// <summary>The exception for an error of a call.</summary>
    internal static VfioException Refused(Errno errno, VfioUserCommand command, in ClientReply reply) =>
        new(errno, command.ToString(), reply.IsRefusal ? "the server refused" : reply.Problem ?? "the connection has ended");

    private void TakeVersion(ReadOnlySpan<byte> answer, OwnedDescriptor[] descriptors)
    {
        if (!VersionMessage.TryRead(answer, out VfioUserVersion version, out PeerLimits limits, out string why))
        {
            throw Unsound(why);
        }

        if (version.Minor > VfioUserLimits.Minor)
        {
            throw Unsound($"the server answers version {version.Major}.{version.Minor}, and was told that {VfioUserLimits.Minor} is the highest minor here");
        }

        Version = new Version(version.Major, version.Minor);
        Limits = limits with
        {
            MaximumDescriptors = Math.Min(limits.MaximumDescriptors, UnixSocket.MaximumDescriptors),
            MaximumTransfer = Math.Min(limits.MaximumTransfer, VfioUserLimits.DefaultMaximumTransfer),
        };
        if (limits.TwinSocket && _options.TwinSocket)
        {
            TakeTwin(limits.TwinSocketIndex ?? 0, descriptors);
        }
    }

    private void TakeTwin(int index, OwnedDescriptor[] descriptors)
    {
        if (index >= descriptors.Length)
        {
            throw Unsound($"the twin socket should be descriptor {index}, and {descriptors.Length} came");
        }

        try
        {
            // A new owner: the caller disposes the list.
            var owner = new OwnedDescriptor(descriptors[index].Take(), _ledger);
            try
            {
                StartTwin(UnixSocket.Adopt(owner));
            }
            catch
            {
                owner.Dispose();
                throw;
            }
        }
        catch (SystemCallException e)
        {
            throw Unsound($"the twin socket is none: {e.Message}");
        }
    }

    private static VfioException Unsound(string why) => new(Errno.EPROTO, nameof(VfioUserCommand.Version), why);
}
