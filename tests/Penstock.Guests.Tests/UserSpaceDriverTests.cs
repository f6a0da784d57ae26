using Penstock.VfioUser;

namespace Penstock.Guests.Tests;

/// <summary>
/// A driver in the guest's user space (uio_pci_generic): the kernel masks the pin by Interrupt Disable in the command register, the program
/// acknowledges and unmasks. It needs Interrupt Status in the status register; without it an interrupt would come again and again.
/// </summary>
[Trait("Category", "VM")]
[Collection(GuestCollection.Name)]
public sealed class UserSpaceDriverTests(GuestLab lab)
{
    private const int Changes = 30;

    /// <summary>For each change some 15 register and config accesses of shell tools, with replies and the unmasking by QEMU.</summary>
    private const int MessagesForAChange = 60;

    [Fact]
    public async Task InterruptDisable_MaskedByTheGuest_EachChangeComesOnceAndWithoutAStorm()
    {
        using var bench = new CardBench();
        await using (GuestShell shell = await GuestShell.StartAsync(lab.Lab, bench.Configuration))
        {
            LinuxCard linux = await LinuxCard.FindAsync(shell);
            await shell.RunAsync("modprobe uio_pci_generic && echo 494f 0dc8 > /sys/bus/pci/drivers/uio_pci_generic/new_id && [ -c /dev/uio0 ]");
            Assert.Equal("uio_pci_generic", await shell.AskAsync("basename $(readlink $device/driver)"));
            await shell.RunAsync("byte() { dd if=$1 bs=1 skip=$2 count=1 2> /dev/null | od -An -tu1 | tr -d ' '; }; zero() { printf '\\000' | dd of=$1 bs=1 seek=$2 conv=notrunc 2> /dev/null; }");

            // Clear, switch interrupts on (a read), open the file whose reads wait for interrupts.
            await shell.RunAsync("zero /dev/port $((port + 1)); byte /dev/port $((port + 2)) > /dev/null; exec 3< /dev/uio0");
            Assert.Equal(0, await shell.AskNumberAsync("echo $(($(byte $device/config 5) & 4))"));
            int messages = bench.Traffic.Messages;
            for (int i = 1; i <= Changes; i++)
            {
                bench.Toggle(i % 16);
                Assert.Equal(i, await shell.AskNumberAsync("dd bs=4 count=1 <&3 2> /dev/null | od -An -tu4 | tr -d ' '"));

                // Masked, pending both on the card and in the status register.
                Assert.Equal(4, await shell.AskNumberAsync("echo $(($(byte $device/config 5) & 4))"));
                Assert.Equal(8, await shell.AskNumberAsync("echo $(($(byte $device/config 6) & 8))"));
                Assert.Equal(4, await shell.AskNumberAsync("echo $(($(byte /dev/port $((port + 6))) & 4))"));
                await shell.RunAsync("zero /dev/port $((port + 1)); zero $device/config 5");
                Assert.Equal(0, await shell.AskNumberAsync("echo $(($(byte $device/config 6) & 8))"));
            }

            messages = bench.Traffic.Messages - messages;
            Assert.Equal(Changes, bench.Card.InterruptsRaised);
            Assert.Equal(Changes, await shell.AskNumberAsync("cat /sys/class/uio/uio0/event"));
            Assert.InRange(messages, Changes, Changes * MessagesForAChange);

            // Not acknowledged but unmasked: it comes again at once, once.
            bench.Toggle(0);
            await shell.RunAsync("dd bs=4 count=1 <&3 2> /dev/null | od -An -tu4; zero $device/config 5");
            Assert.Equal(Changes + 2, await shell.AskNumberAsync("dd bs=4 count=1 <&3 2> /dev/null | od -An -tu4 | tr -d ' '"));
            Assert.Equal(Changes + 1, bench.Card.InterruptsRaised);

            // Back to the kernel's driver.
            await shell.RunAsync("exec 3<&-; echo $slot > $device/driver/unbind; modprobe -r uio_pci_generic");
            await linux.LoadDriverAsync();
            await Procedures.VerifyWorksAsync(bench, linux);
            await shell.PowerOffAsync();
        }

        bench.VerifyNoErrors();
        bench.VerifyEnds(SessionEndKind.ClientClosed);
    }
}
