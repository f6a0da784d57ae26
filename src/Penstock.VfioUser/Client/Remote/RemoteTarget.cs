using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.VfioUser;

/// <summary>A device's state, written by messages. The server puts it into the device when that leaves RESUMING.</summary>
internal sealed class RemoteTarget(VfioUserClient client) : MigrationTarget
{
    public override Errno Write(ReadOnlySpan<byte> source)
    {
        try
        {
            client.WriteMigrationData(source);
            return Errno.None;
        }
        catch (VfioException e)
        {
            return e.Errno is Errno.EINVAL or Errno.ENODEV ? e.Errno : Errno.EIO;
        }
    }

    public override void Finish()
    {
        // As above.
    }
}
